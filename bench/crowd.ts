// Many callers at once, half of them hostile: node bench/crowd.ts [--calls 50000] [--connections 500] [--rate 500]. A
// service in a process of its own, ordinary clients here, each on a connection of its own, and as many hostile ones in
// a third process (crowd-hostile.ts), which make as many calls. It prints what the ordinary clients see alone, then
// beside the hostile ones.
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { Agent, request as httpRequest } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Outcome } from "../src/gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { type FreshService, makeKeys, startFreshService } from "./fresh-service.ts";
import { type Call, openGrpcClient } from "./grpc-client.ts";
import { forgetPeak, memoryOf } from "./measure.ts";
import { at } from "./workload.ts";

const { values: given } = parseArgs({
  options: {
    connections: { type: "string", default: "500" },
    calls: { type: "string", default: "50000" },
    /** Of the ordinary clients together, in a second; the hostile ones are as fast. */
    rate: { type: "string", default: "500" },
  },
});
const connections = Number(given.connections) / 2;
const calls = Number(given.calls) / 2;
const rate = Number(given.rate);
const organizations = 10;

const { createBatchJob, getBatchJob, listBatchJobs, startBatchJob } = BatchJobService.method;
const { leaseContacts, reportOutcomes } = ContactWorkerService.method;

const contacts = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ phone: `+1415${String(2_000_000 + i)}` }));
const job = (count: number) => ({
  name: "ordinary",
  fromPhoneNumberId: "pn_1",
  contacts: contacts(count),
  concurrentCallLimit: 1_000,
});

type Organization = { readonly apiKey: string; readonly batchJobId: string };

async function makeOrganization(service: FreshService, name: string): Promise<Organization> {
  const [apiKey = ""] = await makeKeys(service, name, 1);
  const { call, close } = openGrpcClient(service.grpcAddress, apiKey);
  const { batchJobId } = await call(createBatchJob, job(5_000));
  await call(startBatchJob, { batchJobId });
  close();
  return { apiKey, batchJobId };
}

/** A client on a connection of its own; each of its turns is one call. */
type Client = { turn(this: void): Promise<unknown>; close(this: void): void };

/** Over gRPC: it works, and looks at its job. */
function openWorker(service: FreshService, { apiKey, batchJobId }: Organization): Client {
  const options = { "grpc.use_local_subchannel_pool": 1 };
  const { call, close } = openGrpcClient(service.grpcAddress, apiKey, options);
  let leaseIds: string[] = [];
  async function lease(of: Call): Promise<void> {
    const request = { workerId: "w", requestId: randomUUID(), maxContacts: 1 };
    leaseIds = (await of(leaseContacts, request)).contacts.map(({ leaseId }) => leaseId);
  }
  let turns = 0;
  async function turn(): Promise<void> {
    turns += 1;
    if (leaseIds.length > 0) {
      const outcomes = leaseIds.map((leaseId) => ({ leaseId, outcome: Outcome.COMPLETED }));
      leaseIds = [];
      await call(reportOutcomes, { outcomes });
    } else if (turns % 3 === 0) await lease(call);
    else if (turns % 10 === 0) await call(createBatchJob, job(3));
    else await call(getBatchJob, { batchJobId });
  }
  return { turn, close };
}

/** Over Connect with JSON: it reads, and creates now and then. */
function openReader(service: FreshService, { apiKey, batchJobId }: Organization): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const { hostname, port } = new URL(service.httpUrl);
  const headers = { authorization: `Bearer ${apiKey}`, "content-type": "application/json" };
  function post(method: { name: string }, body: object): Promise<void> {
    return new Promise((resolve, reject) => {
      const path = `/${BatchJobService.typeName}/${method.name}`;
      const asking = httpRequest({ agent, hostname, port, path, method: "POST", headers }, (response) => {
        response
          .resume()
          .on("end", () =>
            response.statusCode === 200 ? resolve() : reject(new Error(`status ${response.statusCode}`)),
          );
        response.on("error", reject);
      });
      asking.on("error", reject).end(JSON.stringify(body));
    });
  }
  let turns = 0;
  function turn(): Promise<void> {
    turns += 1;
    if (turns % 20 === 0) return post(createBatchJob, job(3));
    if (turns % 4 === 0) return post(listBatchJobs, { pageSize: 10 });
    return post(getBatchJob, { batchJobId });
  }
  return { turn, close: () => agent.destroy() };
}

/** Who is not answered in this time has failed. */
const patienceMs = 10_000;

async function within(call: Promise<unknown>): Promise<void> {
  const isOver = new AbortController();
  const late = delay(patienceMs, undefined, { signal: isOver.signal }).then(() => {
    throw new Error(`no answer in ${patienceMs / 1_000} s`);
  });
  try {
    await Promise.race([call, late]);
  } finally {
    isOver.abort();
    late.catch(() => {});
  }
}

/** Each client makes its calls one after the other, at its own pace; how long each took, and what failed. */
async function work(clients: readonly Client[]) {
  const took: number[] = [];
  const errors = new Map<string, number>();
  const everyMs = (clients.length * 1_000) / rate;
  const began = performance.now();
  const perClient = Math.ceil(calls / clients.length);
  const workOn = async ({ turn }: Client, place: number) => {
    for (let i = 0; i < perClient; i += 1) {
      // From when it was to begin: a client that waits sees no wait.
      const dueMs = began + (i + place / clients.length) * everyMs;
      await delay(Math.max(0, dueMs - performance.now()));
      await within(turn()).catch((error: unknown) => {
        const said = error instanceof Error ? error.message.slice(0, 60) : String(error);
        errors.set(said, (errors.get(said) ?? 0) + 1);
      });
      took.push(performance.now() - dueMs);
    }
  };
  await Promise.all(clients.map(workOn));
  return { took, errors, seconds: (performance.now() - began) / 1_000 };
}

/** Starts the hostile half; answers what it says of its calls once it has made them. */
function attack(
  service: FreshService,
  apiKey: string,
): { readonly said: Promise<string>; end(): Promise<void> } {
  const { port: http } = new URL(service.httpUrl);
  const { port: grpc } = new URL(`http://${service.grpcAddress}`);
  const args = [http, grpc, apiKey, connections, calls, rate].map(String);
  const child = spawn(process.execPath, [join(import.meta.dirname, "crowd-hostile.ts"), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const said = text(child.stdout);
  return {
    said,
    async end() {
      child.kill("SIGTERM");
      if (child.exitCode === null) await once(child, "exit");
    },
  };
}

const loadAverage = async () => (await readFile("/proc/loadavg", "utf8")).split(" ", 1)[0];

async function measure(service: FreshService, what: "alone" | "beside hostile ones"): Promise<void> {
  const places = Array.from({ length: organizations }, (_, i) => `ordinary ${i}`);
  const made = await Promise.all(places.map((name) => makeOrganization(service, name)));
  const clients = Array.from({ length: connections }, (_, i) => {
    const organization = made[i % organizations];
    if (organization === undefined) throw new Error("there is no organization");
    return (i % 2 === 0 ? openWorker : openReader)(service, organization);
  });
  // Each has its connection.
  await Promise.all(clients.map(({ turn }) => turn()));
  const before = await loadAverage();
  await forgetPeak(service.pid);
  const hostile =
    what === "alone" ? undefined : attack(service, (await makeKeys(service, "hostile", 1))[0] ?? "");
  const { took, errors, seconds } = await work(clients);
  const said = await hostile?.said;
  await hostile?.end();
  for (const { close } of clients) close();
  const { peak } = await memoryOf(service.pid);
  await delay(5_000);
  const { now } = await memoryOf(service.pid);
  const ms = (part: number) => Math.round(at(took, part));
  const failed = [...errors].map(([error, count]) => `${count} × ${error}`).join("; ");
  process.stdout.write(
    `| ${[what, connections, took.length, Math.round(took.length / seconds), ms(0.5), ms(0.99), ms(1), failed || "none", peak, now, said?.trim() ?? "", before].join(" | ")} |\n`,
  );
}

const columns = [
  "ordinary clients",
  "connections",
  "calls",
  "a second",
  "p50, ms",
  "p99, ms",
  "at most, ms",
  "errors",
  "service, MB at most",
  "5 s after",
  "answers to the hostile",
  "load before",
];
process.stdout.write(`| ${columns.join(" | ")} |\n| ${columns.map(() => "---").join(" | ")} |\n`);
for (const what of ["alone", "beside hostile ones"] as const) {
  await using service = await startFreshService();
  await measure(service, what);
}
process.exit(0);
