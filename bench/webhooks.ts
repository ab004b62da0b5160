// Events sent to endpoints: a log of ended attempts from its beginning to its end, and how late an event comes that is
// sent beside an endpoint that is dead.
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { WebhookService } from "../src/gen/callsheet/v1/webhook_service_pb.ts";
import { type FreshService, startFreshService } from "./fresh-service.ts";
import { cpuSecondsOf, forgetPeak, memoryOf, withPostgres } from "./measure.ts";
import { type Sample, type Sizes, type Workload, at } from "./workload.ts";

const settings = { WEBHOOK_ALLOW_INSECURE: "true" };

type Body = { type: string; data: { sequence: string; occurredAt: string; events?: { sequence: string }[] } };

/** A receiver that reads all that comes, and answers, unless it is dead. */
async function startReceiver(onBody: (body: Body) => void, { isDead = false } = {}) {
  const server = createServer(async (request, response) => {
    const body = await text(request);
    if (isDead) return;
    onBody(JSON.parse(body) as Body);
    response.writeHead(204).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Writes so many attempts that have ended into the log, in one commit. */
const endAttempts = ({ databaseUrl }: FreshService, count: number) =>
  withPostgres(databaseUrl, async (client) => {
    await client.query("begin");
    await client.query(
      `insert into attempts (organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at,
         outcome, reported_at, call_duration_ms, provider_call_id, sequence)
       select h.organization_id, '00000000-0000-4000-8000-000000000001', n, 1, 0, 'worker-1', now(), now(), now(),
         'completed', now(), 32500, 'CA' || md5(n::text), h.sequence + n
       from event_heads h, generate_series(1, $1::int) as n`,
      [count],
    );
    await client.query("update event_heads set sequence = sequence + $1", [count]);
    await client.query("commit");
    await client.query("analyze attempts");
  });

async function drain(count: number): Promise<Sample> {
  await using service = await startFreshService({}, settings);
  const seen = new Set<number>();
  let requests = 0;
  const all = Promise.withResolvers<void>();
  await using receiver = await startReceiver(({ data }) => {
    requests += 1;
    for (const { sequence } of data.events ?? []) seen.add(Number(sequence));
    if (seen.size === count) all.resolve();
  });
  const webhooks = createClient(WebhookService, service.transport);
  await webhooks.createWebhookEndpoint({ url: receiver.url, types: ["contact.attempt_ended"] });
  await endAttempts(service, Math.ceil(count / 20));
  // The first of it are the warm-up.
  while (seen.size < Math.ceil(count / 20)) await delay(20);
  seen.clear();
  requests = 0;
  const before = { memory: await memoryOf(service.pid), cpu: await cpuSecondsOf(service.pid) };
  await forgetPeak(service.pid);
  await withPostgres(service.databaseUrl, (client) => client.query("delete from attempts"));
  await endAttempts(service, count);
  const began = performance.now();
  await all.promise;
  const seconds = (performance.now() - began) / 1000;
  const after = await memoryOf(service.pid);
  return {
    value: count / seconds,
    extra: {
      "attempts per request": count / requests,
      "CPU of the service, µs per attempt": (((await cpuSecondsOf(service.pid)) - before.cpu) * 1e6) / count,
      "RSS of the service, MB more at most": after.peak - before.memory.now,
    },
  };
}

const perSecond = 100;

async function besideDead(seconds: number, { isDead }: { isDead: boolean }): Promise<Sample> {
  await using service = await startFreshService({}, settings);
  const lateMs: number[] = [];
  await using live = await startReceiver(({ data }) => {
    lateMs.push(Date.now() - Date.parse(data.occurredAt));
  });
  await using other = await startReceiver(() => {}, { isDead });
  const webhooks = createClient(WebhookService, service.transport);
  for (const { url } of [live, other]) {
    await webhooks.createWebhookEndpoint({ url, types: ["batch_job.created"] });
  }
  // Both are held, and the dead one has all that it may have on its way.
  await delay(3_000);
  const count = perSecond * seconds;
  const began = performance.now();
  const creating: Promise<unknown>[] = [];
  for (let i = 0; i < count; i += 1) {
    creating.push(service.client.createBatchJob({ name: "bench", fromPhoneNumberId: "pn_1" }));
    await delay(Math.max(0, began + (1000 * i) / perSecond - performance.now()));
  }
  await Promise.all(creating);
  while (lateMs.length < count) await delay(20);
  return { value: at(lateMs, 0.99), extra: { "p50, ms": at(lateMs, 0.5), "most, ms": at(lateMs, 1) } };
}

export const sending = ({ contacts, seconds }: Sizes): Workload => ({
  name: "webhooks",
  title: `${contacts} ended attempts in the log, sent to one endpoint until it has each`,
  unit: "attempts/s",
  better: "higher",
  note: "The receiver is on the same cores, and reads what comes.",
  also: [
    {
      name: "webhooks-beside-dead",
      title: `How late events come to an endpoint that takes them, ${perSecond} a second, p99`,
      unit: "ms",
      better: "lower",
      note: "From the time of the event to its arrival. The dead endpoint takes connections and answers nothing.",
    },
  ],
  entrants: [
    { name: "Callsheet, up to 20 requests on their way", role: "callsheet", run: () => drain(contacts) },
    ...[true, false].map((isDead) => ({
      name: isDead ? "beside one that is dead" : "beside one that takes them too",
      role: "callsheet" as const,
      figure: "webhooks-beside-dead",
      run: () => besideDead(5 * seconds, { isDead }),
    })),
  ],
});
