// What one hostile client can do to the others: node bench/attack.ts [--only PART_OF_A_NAME] [--seconds 8] [--address
// 127.0.0.1]. A service in a process of its own, an ordinary client here, jobs that come due ten times a second, and
// one attack after another from a third process. It prints a table.
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { BatchJobService } from "../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { Outcome } from "../src/gen/callsheet/v1/batch_job_pb.ts";
import { ContactWorkerService } from "../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { attackNames } from "./attacks.ts";
import { type FreshService, makeKeys, startFreshService } from "./fresh-service.ts";
import { openGrpcClient } from "./grpc-client.ts";
import { forgetPeak, memoryOf, withPostgres } from "./measure.ts";

const { values: given } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    /** The first of them; all after it follow. */
    from: { type: "string", default: "" },
    seconds: { type: "string", default: "8" },
    /** Where the attack comes from; 127.0.0.2 is another address than the ordinary client's. */
    address: { type: "string", default: "127.0.0.1" },
  },
});
const seconds = Number(given.seconds);

/** One call begins each so often, whether those before it were answered or not. */
const callEveryMs = 25;
const dueEveryMs = 100;
const patienceMs = 10_000;

const contact = (i: number) => ({ phone: `+1415${String(2_000_000 + i)}` });

const job = (contacts: number) => ({
  name: "ordinary",
  fromPhoneNumberId: "pn_1",
  contacts: Array.from({ length: contacts }, (_, i) => contact(i)),
  concurrentCallLimit: 100,
});

const within = async (call: Promise<unknown>) => {
  const limit = new AbortController();
  const late = delay(patienceMs, undefined, { signal: limit.signal }).then(() => {
    throw new Error("no answer in 10 s");
  });
  try {
    await Promise.race([call, late]);
  } finally {
    limit.abort();
    late.catch(() => {});
  }
};

/** What an ordinary client does: it reads, creates, leases and reports, over both protocols. */
async function openOrdinaryClient(service: FreshService) {
  const { call } = openGrpcClient(service.grpcAddress, service.apiKey);
  const transport = createConnectTransport({
    baseUrl: service.httpUrl,
    httpVersion: "1.1",
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${service.apiKey}`);
        return next(request);
      },
    ],
  });
  const jobs = createClient(BatchJobService, transport);
  const { createBatchJob, getBatchJob, startBatchJob } = BatchJobService.method;
  const { leaseContacts, reportOutcomes } = ContactWorkerService.method;

  const { batchJobId } = await call(createBatchJob, job(9_000));
  await call(startBatchJob, { batchJobId });

  async function work(): Promise<void> {
    const { contacts } = await call(leaseContacts, {
      workerId: "w",
      requestId: randomUUID(),
      maxContacts: 2,
    });
    const outcomes = contacts.map(({ leaseId }) => ({ leaseId, outcome: Outcome.COMPLETED }));
    if (outcomes.length > 0) await call(reportOutcomes, { outcomes });
  }
  const kinds = [
    () => call(getBatchJob, { batchJobId }),
    () => jobs.getBatchJob({ batchJobId }),
    () => call(createBatchJob, job(3)),
    () => jobs.createBatchJob(job(3)),
    work,
  ];

  /** Makes calls for so long, and answers how long each took, and what failed. */
  async function run(ms: number) {
    const took: number[] = [];
    const errors = new Map<string, number>();
    const began = performance.now();
    const calls: Promise<void>[] = [];
    for (let i = 0; i * callEveryMs < ms; i += 1) {
      // From when it was to begin: a client that waits sees no wait.
      const dueMs = began + i * callEveryMs;
      await delay(Math.max(0, dueMs - performance.now()));
      const kind = kinds[i % kinds.length];
      if (kind === undefined) continue;
      calls.push(
        within(kind()).then(
          () => void took.push(performance.now() - dueMs),
          (error: unknown) => {
            took.push(performance.now() - dueMs);
            const said = error instanceof Error ? error.message.slice(0, 60) : String(error);
            errors.set(said, (errors.get(said) ?? 0) + 1);
          },
        ),
      );
    }
    await Promise.all(calls);
    return { took, errors };
  }
  return { run };
}

/** Jobs of the ordinary client's that come due while an attack is on. */
async function scheduleJobs({ client }: FreshService, fromMs: number, forMs: number): Promise<string[]> {
  const times = Array.from({ length: Math.floor(forMs / dueEveryMs) }, (_, i) => fromMs + i * dueEveryMs);
  const ids: string[] = [];
  for (const timeMs of times) {
    const scheduledStartTime = new Date(timeMs).toISOString();
    const contacts = [contact(1)];
    const { batchJobId } = await client.createBatchJob({
      name: "due",
      fromPhoneNumberId: "pn_1",
      contacts,
      scheduledStartTime,
    });
    ids.push(batchJobId);
  }
  return ids;
}

const lagsOf = (url: string, ids: readonly string[]) =>
  withPostgres(url, async (postgres) => {
    const { rows } = await postgres.query<{ lag: string | null }>(
      "select extract(epoch from started_at - scheduled_at) * 1000 as lag from batch_jobs where id = any($1)",
      [ids],
    );
    return rows.map(({ lag }) => (lag === null ? Infinity : Number(lag)));
  });

/** What a hostile organization may do in a second where that is what the attack is about. */
const hostileRate = 100;

/** Another organization, its key, and a job of it. */
async function makeHostile(service: FreshService, attack: string) {
  const [apiKey = ""] = await makeKeys(service, "hostile", 1);
  if (attack.includes("its rate"))
    await withPostgres(service.databaseUrl, (client) =>
      client.query("update organizations set rate_read = $1 where name = 'hostile'", [hostileRate]),
    );
  const { call, close } = openGrpcClient(service.grpcAddress, apiKey);
  let jobId = "";
  for (let count = 0; count < 1_000; count += 1) {
    const request = {
      name: `hostile ${count} ${"x".repeat(150)}`,
      fromPhoneNumberId: "pn_1",
      contacts: [contact(1)],
    };
    jobId = (await call(BatchJobService.method.createBatchJob, request)).batchJobId;
  }
  close();
  return { apiKey, jobId };
}

/** Makes a first call under each key, over both protocols in turn, spread over so long; answers how long they took. */
async function firstCalls(service: FreshService, keys: readonly string[], ms: number): Promise<number[]> {
  const { getBatchJob } = BatchJobService.method;
  const overHttp = (key: string) =>
    fetch(`${service.httpUrl}/batch/jobs`, { headers: { authorization: `Bearer ${key}` } });
  async function overGrpc(key: string) {
    const { call, close } = openGrpcClient(service.grpcAddress, key);
    // Known or not, it is answered.
    await call(getBatchJob, { batchJobId: randomUUID() }).catch(() => {});
    close();
  }
  const calls = keys.map(async (key, i) => {
    await delay((i * ms) / keys.length);
    const began = performance.now();
    await within(i % 2 === 0 ? overHttp(key) : overGrpc(key)).catch(() => {});
    return performance.now() - began;
  });
  return await Promise.all(calls);
}

/** How far behind the service's event loop was at most, in ms, since this was last asked. */
async function loopDelayOf({ httpUrl }: FreshService): Promise<number> {
  const metrics = await (await fetch(`${httpUrl}/metrics`)).text();
  return 1_000 * Number(/^nodejs_eventloop_lag_max_seconds (\S+)/m.exec(metrics)?.[1]);
}

const at = (values: readonly number[], part: number): string => {
  const sorted = values.toSorted((a, b) => a - b);
  const found = sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? NaN;
  return found === Infinity ? "never" : String(Math.round(found));
};

async function measure(
  service: FreshService,
  attack: string,
  hostile: Awaited<ReturnType<typeof makeHostile>>,
) {
  const client = await openOrdinaryClient(service);
  await client.run(1_000);
  const leadMs = 3_000;
  const fromMs = Date.now() + leadMs + 1_000;
  // Keys of the ordinary client's that the service has not seen yet.
  const newKeys = await makeKeys(service, "default", 8);
  const due = await scheduleJobs(service, fromMs, seconds * 1_000);
  await delay(Math.max(0, fromMs - 1_000 - Date.now()));
  await forgetPeak(service.pid);
  await loopDelayOf(service);
  const { port: http } = new URL(service.httpUrl);
  const { port: grpc } = new URL(`http://${service.grpcAddress}`);
  const child = spawn(
    process.execPath,
    [
      join(import.meta.dirname, "attacks.ts"),
      attack,
      http,
      grpc,
      hostile.apiKey,
      hostile.jobId,
      given.address,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const said = text(child.stdout);
  await delay(Math.max(0, fromMs - Date.now()));
  const [{ took, errors }, first] = await Promise.all([
    client.run(seconds * 1_000),
    firstCalls(service, newKeys, seconds * 1_000),
  ]);
  child.kill("SIGTERM");
  if (child.exitCode === null) await once(child, "exit");
  const loop = await loopDelayOf(service);
  const { peak } = await memoryOf(service.pid);
  const lags = await lagsOf(service.databaseUrl, due);
  const counts = (await said) || "{}";
  const { answers = 0, connections = 0 } = JSON.parse(counts) as { answers?: number; connections?: number };
  const failed = [...errors].map(([what, count]) => `${count} × ${what}`).join("; ");
  return [
    attack,
    at(took, 0.5),
    at(took, 0.99),
    at(first, 1),
    at(lags, 0.99),
    failed === "" ? "none" : failed,
    peak,
    Math.round(loop),
    answers,
    connections,
  ];
}

const columns = [
  "attack",
  "ordinary p50, ms",
  "p99, ms",
  "first call under a new key, at most, ms",
  "due lag p99, ms",
  "its errors",
  "service, MB at most",
  "event loop late at most, ms",
  "answers to the attacker",
  "its connections",
];
const row = (cells: readonly unknown[]) => process.stdout.write(`| ${cells.join(" | ")} |\n`);

/** An attack that ends the service is a finding; whatever else fails is a fault of this program. */
function ending({ pid }: FreshService, error: unknown): string {
  try {
    process.kill(pid, 0);
  } catch {
    return "the service has ended";
  }
  throw error;
}

row(columns);
row(columns.map(() => "---"));
const first = attackNames.findIndex((name) => name.includes(given.from));
for (const attack of attackNames.slice(first).filter((name) => name.includes(given.only))) {
  // Each on a service of its own: what one leaves behind is not the next one's.
  await using service = await startFreshService();
  const hostile = await makeHostile(service, attack);
  row(await measure(service, attack, hostile).catch((error: unknown) => [attack, ending(service, error)]));
}
process.exit(0);
