// A file of contacts until it is validated, without duplicates and durable; then the start of its job until every
// number is on the list.
import { openAsBlob } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { from as copyFrom } from "pg-copy-streams";
import { linesOf, perSecond, writeCsv } from "./contacts.ts";
import { type FreshService, startFreshServers, startFreshService } from "./fresh-service.ts";
import {
  cpuSecondsOf,
  forgetPeak,
  memoryOf,
  postgresBytes,
  redisBytes,
  withPostgres,
  withRedis,
} from "./measure.ts";
import { addBulk, addJobs, insertJobs } from "./peer-enqueue.ts";
import { type Entrant, type Sample, type Sizes, type Workload, at } from "./workload.ts";

/** Sends the file with one HTTP request; answers how many contacts a second became durable. */
async function importFile(service: FreshService, contacts: number) {
  await using csv = await writeCsv(contacts);
  const { batchJobId } = await service.client.createBatchJob({ name: "bench", fromPhoneNumberId: "pn_1" });
  const before = { bytes: await postgresBytes(service.databaseUrl), cpu: await cpuSecondsOf(service.pid) };
  const body = await openAsBlob(csv.file);
  const { now } = await memoryOf(service.pid);
  await forgetPeak(service.pid);
  const began = performance.now();
  const response = await fetch(`${service.httpUrl}/batch-jobs/${batchJobId}/contacts.csv`, {
    method: "POST",
    headers: { authorization: `Bearer ${service.apiKey}` },
    body,
  });
  const answer = (await response.json()) as { acceptedCount: number };
  const value = perSecond(contacts, began);
  const seconds = (performance.now() - began) / 1000;
  if (answer.acceptedCount !== contacts) throw new Error(`the file was not taken: ${JSON.stringify(answer)}`);
  const memory = await memoryOf(service.pid);
  const extra = {
    "peak RSS, MB": memory.peak,
    "RSS growth, MB": memory.peak - now,
    "CPU of the service, µs per contact": (((await cpuSecondsOf(service.pid)) - before.cpu) * 1e6) / contacts,
    "Postgres, bytes per contact": ((await postgresBytes(service.databaseUrl)) - before.bytes) / contacts,
  };
  return { batchJobId, value, seconds, extra };
}

const columns = `
  job_id uuid not null, number int not null, phone text collate "C" not null, name text not null, fields jsonb not null,
  status text not null default 'pending', attempts int not null default 0, last_outcome text, next_attempt_at timestamptz`;

/** COPY of the same rows, ready-made, into a table like ours. */
async function rawCopy(contacts: number, constraints: string): Promise<Sample> {
  await using servers = await startFreshServers();
  return await withPostgres(servers.databaseUrl, async (client) => {
    await client.query(`create table plain (${columns}, ${constraints})`);
    const job = crypto.randomUUID();
    const lines = linesOf(contacts, "", (c, i) => {
      return `${job}\t${i + 1}\t${c.phone}\t${c.name}\t{"plan":"${c.plan}","city":"${c.city}"}\n`;
    });
    const ready = [...lines].map((text) => Buffer.from(text));
    const began = performance.now();
    await pipeline(
      Readable.from(ready),
      client.query(copyFrom("copy plain (job_id, number, phone, name, fields) from stdin")),
    );
    const value = perSecond(contacts, began);
    return {
      value,
      extra: { "Postgres, bytes per contact": (await postgresBytes(servers.databaseUrl)) / contacts },
    };
  });
}

const enqueuers = ({ peerContacts }: Sizes): Entrant[] =>
  Object.entries({
    "pg-boss 12.27.0, insert of 5,000": insertJobs,
    "graphile-worker 0.18.0, addJobs of 5,000": addJobs,
    "BullMQ 6.7.0, addBulk of 1,000": addBulk,
  }).map(([name, enqueue]) => ({
    name,
    role: "peer",
    async run() {
      await using servers = await startFreshServers();
      return await enqueue(servers, peerContacts);
    },
  }));

const peersNote = (sizes: Sizes): string =>
  `The peers take ${sizes.peerContacts} contacts that are parsed already, as one job of their own each, and look for no duplicates.`;

export const importing = (sizes: Sizes): Workload => ({
  name: "import",
  title: `${sizes.contacts} contacts, from a CSV file to validated, without duplicates, durable`,
  unit: "contacts/s",
  better: "higher",
  note: `COPY takes the same contacts ready-made, a row each: neither CSV nor checks. ${peersNote(sizes)}`,
  entrants: [
    {
      name: "Callsheet, POST contacts.csv",
      role: "callsheet",
      async run() {
        await using service = await startFreshService();
        return await importFile(service, sizes.contacts);
      },
    },
    {
      name: "COPY, primary key",
      role: "limit",
      run: () => rawCopy(sizes.contacts, "primary key (job_id, number)"),
    },
    {
      name: "COPY, primary key and unique phones",
      role: "limit",
      run: () => rawCopy(sizes.contacts, "primary key (job_id, number), unique (job_id, phone)"),
    },
    ...enqueuers(sizes),
  ],
});

/** Starts the job and waits until all numbers are on its list, while others call the replica. */
async function startAndWait(service: FreshService, batchJobId: string, contacts: number) {
  return await withRedis(service.redisUrl, async (redis) => {
    const bytes = await redisBytes(redis);
    const { now } = await memoryOf(service.pid);
    await forgetPeak(service.pid);
    const latencies: number[] = [];
    const done = new AbortController();
    const calling = (async () => {
      while (!done.signal.aborted) {
        const sent = performance.now();
        await service.client.getBatchJob({ batchJobId });
        latencies.push(performance.now() - sent);
      }
    })();
    const began = performance.now();
    const answered = service.client.startBatchJob({ batchJobId }).then(() => performance.now() - began);
    for (let listed = 0; listed < contacts;) {
      const [key] = await redis.keys(`*${batchJobId}:contacts`);
      listed = key === undefined ? 0 : await redis.llen(key);
      if (listed < contacts) await delay(2);
    }
    const value = perSecond(contacts, began);
    const seconds = (performance.now() - began) / 1000;
    const answeredMs = await answered;
    done.abort();
    await calling;
    const extra = {
      "answered, ms": answeredMs,
      "GetBatchJob meanwhile, p99 ms": at(latencies, 0.99),
      "RSS growth, MB": (await memoryOf(service.pid)).peak - now,
      "Redis, bytes per contact": ((await redisBytes(redis)) - bytes) / contacts,
    };
    return { value, seconds, extra };
  });
}

export const fanningOut = (sizes: Sizes): Workload => ({
  name: "fan-out",
  title: `StartBatchJob of ${sizes.contacts} contacts, from the call until all are on the list`,
  unit: "contacts/s",
  better: "higher",
  note: "RPUSH puts the same numbers on a list, 1,000 at a time, eight commands in flight.",
  entrants: [
    {
      name: "Callsheet, StartBatchJob",
      role: "callsheet",
      async run() {
        await using service = await startFreshService();
        const { batchJobId } = await importFile(service, sizes.contacts);
        return await startAndWait(service, batchJobId, sizes.contacts);
      },
    },
    {
      name: "RPUSH",
      role: "limit",
      async run() {
        await using servers = await startFreshServers();
        return await withRedis(servers.redisUrl, async (redis) => {
          const began = performance.now();
          let next = 1;
          const push = async () => {
            while (next <= sizes.contacts) {
              const first = next;
              next += 1_000;
              await redis.rpush("plain", ...Array.from({ length: 1_000 }, (_, i) => String(first + i)));
            }
          };
          await Promise.all(Array.from({ length: 8 }, push));
          return { value: perSecond(sizes.contacts, began) };
        });
      },
    },
  ],
});

export const whole = (sizes: Sizes): Workload => ({
  name: "whole",
  title: `${sizes.contacts} contacts, from the file until all are on the list`,
  unit: "contacts/s",
  better: "higher",
  note: `${peersNote(sizes)} BullMQ keeps them in Redis, whose append-only file is flushed once a second.`,
  entrants: [
    {
      name: "Callsheet, POST contacts.csv and StartBatchJob",
      role: "callsheet",
      async run() {
        await using service = await startFreshService();
        const imported = await importFile(service, sizes.contacts);
        const started = await startAndWait(service, imported.batchJobId, sizes.contacts);
        return {
          value: Math.round(sizes.contacts / (imported.seconds + started.seconds)),
          extra: started.extra,
        };
      },
    },
    ...enqueuers(sizes),
  ],
});
