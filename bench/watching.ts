// How late an event comes to those who watch the log, from its commit, and what a stream costs that is told nothing.
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { EventService } from "../src/gen/callsheet/v1/event_service_pb.ts";
import { type FreshService, commitTimes, startFreshService } from "./fresh-service.ts";
import { cpuSecondsOf, postgresCpuSeconds, withPostgres } from "./measure.ts";
import { type Sample, type Sizes, type Workload, at } from "./workload.ts";

const perSecond = 100;

/** Streams of what comes, each of which has told where the log ends; they note when each number came. */
async function watch(service: FreshService, streams: number, onEvent: (sequence: number) => void) {
  const stop = new AbortController();
  const events = createClient(EventService, service.transport);
  const running: Promise<void>[] = [];
  for (let i = 0; i < streams; i += 1) {
    const begun = Promise.withResolvers<void>();
    const run = async () => {
      try {
        for await (const told of events.watchEvents({}, { signal: stop.signal })) {
          for (const { sequence } of told.events) onEvent(Number(sequence));
          begun.resolve();
        }
      } catch (error) {
        if (!stop.signal.aborted) begun.reject(error);
      }
    };
    running.push(run());
    await begun.promise;
  }
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all(running);
    },
  };
}

async function lateness(streams: number, seconds: number): Promise<Sample> {
  await using service = await startFreshService(commitTimes);
  const count = perSecond * seconds;
  const came: { sequence: number; atMs: number }[] = [];
  const from = { sequence: Infinity };
  const all = Promise.withResolvers<void>();
  await using _ = await watch(service, streams, (sequence) => {
    if (sequence < from.sequence) return;
    came.push({ sequence, atMs: Date.now() });
    if (came.length === count * streams) all.resolve();
  });
  // What is new to the service and to Postgres is over.
  for (let i = 0; i < 100; i += 1)
    await service.client.createBatchJob({ name: "bench", fromPhoneNumberId: "pn_1" });
  await delay(1_000);
  from.sequence = await withPostgres(service.databaseUrl, async (client) => {
    const { rows } = await client.query<{ next: string }>(
      "select max(sequence) + 1 as next from event_heads",
    );
    return Number(rows[0]?.next);
  });
  const began = performance.now();
  const creating: Promise<unknown>[] = [];
  for (let i = 0; i < count; i += 1) {
    creating.push(service.client.createBatchJob({ name: "bench", fromPhoneNumberId: "pn_1" }));
    await delay(Math.max(0, began + (1000 * i) / perSecond - performance.now()));
  }
  await Promise.all([...creating, all.promise]);
  const committed = await withPostgres(service.databaseUrl, async (client) => {
    const { rows } = await client.query<{ sequence: string; at_ms: number }>(
      `select sequence, extract(epoch from pg_xact_commit_timestamp(xmin))::float8 * 1000 as at_ms
       from events where sequence >= $1`,
      [from.sequence],
    );
    return new Map(rows.map((row) => [Number(row.sequence), row.at_ms]));
  });
  const lateMs = came.map(({ sequence, atMs }) => atMs - (committed.get(sequence) ?? Number.NaN));
  return { value: at(lateMs, 0.99), extra: { "p50, ms": at(lateMs, 0.5), "most, ms": at(lateMs, 1) } };
}

/** What the service and its Postgres spend in so long, in seconds of CPU. */
async function spentIn({ pid, databaseUrl }: FreshService, seconds: number) {
  const cpu = async () => [await cpuSecondsOf(pid), await postgresCpuSeconds(databaseUrl)] as const;
  const before = await cpu();
  await delay(seconds * 1_000);
  const after = await cpu();
  return { service: after[0] - before[0], postgres: after[1] - before[1] };
}

/** What so many quiet streams cost a second, above what the same service costs without them. */
async function quiet(streams: number, seconds: number): Promise<Sample> {
  await using service = await startFreshService();
  await delay(5_000);
  const without = await spentIn(service, seconds);
  await using _ = await watch(service, streams, () => {});
  await delay(2_000);
  const between = await spentIn(service, seconds);
  const each = (part: "service" | "postgres") =>
    ((between[part] - without[part]) * 1e6) / (seconds * streams);
  return {
    value: each("service"),
    extra: { "Postgres, µs a second for each": each("postgres") },
  };
}

/** The most that an organization may have on one replica. */
const mostStreams = 100;

export const watching = ({ seconds }: Sizes): Workload => ({
  name: "events-watch",
  title: `How late events come over WatchEvents, ${perSecond} a second, from the commit, p99`,
  unit: "ms",
  better: "lower",
  note: "The readers and the service are on the same cores. Commit times are Postgres's own.",
  also: [
    {
      name: "events-watch-quiet",
      title: "CPU of the service for a stream of events while nothing happens",
      unit: "µs/s",
      better: "lower",
      note: "Above what the same service takes without any stream. The streams of an organization share their look at the log.",
    },
  ],
  entrants: [1, mostStreams].flatMap((streams) => {
    const name = streams === 1 ? "one stream" : `${streams} streams`;
    return [
      { name, role: "callsheet" as const, run: () => lateness(streams, 5 * seconds) },
      {
        name: `${name}, quiet`,
        role: "callsheet" as const,
        figure: "events-watch-quiet",
        run: () => quiet(streams, 10 * seconds),
      },
    ];
  }),
});
