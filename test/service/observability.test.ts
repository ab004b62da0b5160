import { randomBytes } from "node:crypto";
import { afterAll, describe, expect, test } from "vitest";
import { cloneDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { answered, bothListeners, callerFor } from "./callers.ts";

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());

async function page(path: string, url = service.httpUrl) {
  const response = await fetch(`${url}${path}`);
  return { status: response.status, text: await response.text(), type: response.headers.get("content-type") };
}

/** Every sample by its name and labels as they are written. */
async function metrics(): Promise<Map<string, number>> {
  const { text } = await page("/metrics");
  const samples = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    samples.map((line) => [
      line.slice(0, line.lastIndexOf(" ")),
      Number(line.slice(line.lastIndexOf(" ") + 1)),
    ]),
  );
}

/** By how much a sample moves while the work is done. */
async function moves(name: string, work: () => Promise<unknown>): Promise<number> {
  const before = (await metrics()).get(name) ?? 0;
  await work();
  return ((await metrics()).get(name) ?? 0) - before;
}

const call = callerFor("plain fetch", service);
const aJob = { name: "Spring campaign", fromPhoneNumberId: "pn_1", contacts: makeContacts(7) };
const create = async (fields = {}) =>
  (await answered<{ batchJobId: string }>(call("createBatchJob", { ...aJob, ...fields }))).batchJobId;

const outcome = (method: string, code: string) =>
  `callsheet_rpcs_total{method="callsheet.v1.BatchJobService/${method}",code="${code}"}`;

const startByHand = async () => call("startBatchJob", { batchJobId: await create() });

describe("pages", () => {
  test("/healthz and /readyz say in a word that all is well", async () => {
    expect(await page("/healthz")).toMatchObject({ status: 200, text: "ok\n" });
    expect(await page("/readyz")).toMatchObject({ status: 200, text: "ready\n" });
  });

  test("/readyz says 503 when the database is gone, and /healthz does not mind", async () => {
    const database = await cloneDatabase();
    await using replica = await startTestService({ beside: { databaseUrl: database.url } });
    const url = replica.httpUrl;
    expect(await page("/readyz", url)).toMatchObject({ status: 200 });
    await database[Symbol.asyncDispose]();
    expect(await page("/readyz", url)).toMatchObject({
      status: 503,
      text: "not ready: Postgres does not answer\n",
    });
    expect(await page("/healthz", url)).toMatchObject({ status: 200 });
    const { status, text } = await page("/metrics", url);
    // What Postgres would have to tell is unknown, which is not 0.
    expect([status, text.match(/^callsheet_(jobs|live_leases).*$/gm)]).toEqual([200, null]);
  });
});

async function startedJob(): Promise<string> {
  const batchJobId = await create();
  await call("startBatchJob", { batchJobId });
  return batchJobId;
}

/** Calls a worker's method. */
async function askWorker<T>(method: string, request: object): Promise<T> {
  const response = await fetch(`${service.httpUrl}/callsheet.v1.ContactWorkerService/${method}`, {
    method: "POST",
    headers: { authorization: `Bearer ${service.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify(request),
  });
  return (await response.json()) as T;
}

/** Sends or reads the file of a job's contacts, to its end. */
async function contactsFile(batchJobId: string, request: RequestInit): Promise<void> {
  const url = `${service.httpUrl}/batch-jobs/${batchJobId}/contacts.csv`;
  const headers = { authorization: `Bearer ${service.apiKey}`, "content-type": "text/csv" };
  const response = await fetch(url, { headers, ...request });
  expect([response.status, await response.text()]).toEqual([200, expect.anything()]);
}

const file = "phone\n+14155550100\n+14155550101\nnot a phone\n";
const sendContactsFile = async () =>
  contactsFile(await create({ contacts: [] }), { method: "POST", body: file });
const readContactsFile = async () => contactsFile(await create(), {});

/** What there is to do: scheduled jobs, running ones, late starts, leases, and contacts that wait. */
async function figures(): Promise<(number | undefined)[]> {
  const samples = await metrics();
  return [
    'callsheet_jobs{status="scheduled"}',
    'callsheet_jobs{status="running"}',
    "callsheet_overdue_starts",
    "callsheet_live_leases",
    "callsheet_contacts_waiting",
  ].map((name) => samples.get(name));
}

describe("metrics", () => {
  test("are in the form that Prometheus reads", async () => {
    const { status, type, text } = await page("/metrics");
    expect(status).toBe(200);
    expect(type).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(text).toMatch(/^# TYPE callsheet_rpcs_total counter$/m);
  });

  test.each([
    ["callsheet_rpcs_total", "counter"],
    ["callsheet_rpc_seconds", "histogram"],
    ["callsheet_start_lag_seconds", "histogram"],
    ["callsheet_scheduler_failures_total", "counter"],
    ["callsheet_fan_out_contacts_total", "counter"],
    ["callsheet_fan_out_seconds", "histogram"],
    ["callsheet_fan_out_failures_total", "counter"],
    ["callsheet_outcomes_total", "counter"],
    ["callsheet_import_contacts_total", "counter"],
    ["callsheet_import_seconds", "histogram"],
    ["callsheet_imports_in_hand", "gauge"],
    ["callsheet_export_seconds", "histogram"],
    ["callsheet_exports_in_hand", "gauge"],
    ["callsheet_sweep_repairs_total", "counter"],
    ["callsheet_sweep_failures_total", "counter"],
    ["callsheet_open_calls", "gauge"],
    ["callsheet_watched_jobs", "gauge"],
    ["callsheet_redis_up", "gauge"],
    ["callsheet_postgres_up", "gauge"],
    ["callsheet_postgres_connections", "gauge"],
    ["callsheet_log_lines_dropped_total", "counter"],
    ["callsheet_jobs", "gauge"],
    ["callsheet_overdue_starts", "gauge"],
    ["callsheet_live_leases", "gauge"],
    ["callsheet_contacts_waiting", "gauge"],
  ])("have %s, a %s", async (name, type) => {
    expect((await page("/metrics")).text).toContain(`# TYPE ${name} ${type}\n`);
  });

  test.each(bothListeners)("count the calls by method and code: %s", async (name) => {
    const ask = callerFor(name, service);
    const stranger = callerFor(name, { ...service, authorization: "" });
    expect(await moves(outcome("ListBatchJobs", "ok"), () => ask("listBatchJobs", {}))).toBe(1);
    expect(
      await moves(outcome("GetBatchJob", "not_found"), () => ask("getBatchJob", { batchJobId: "7" })),
    ).toBe(1);
    expect(
      await moves(outcome("ListBatchJobs", "invalid_argument"), () => ask("listBatchJobs", { pageSize: -1 })),
    ).toBe(1);
    expect(
      await moves(outcome("ListBatchJobs", "unauthenticated"), () => stranger("listBatchJobs", {})),
    ).toBe(1);
  });

  test("time the calls", async () => {
    const count = 'callsheet_rpc_seconds_count{method="callsheet.v1.BatchJobService/ListBatchJobs"}';
    expect(await moves(count, () => call("listBatchJobs", {}))).toBe(1);
  });

  test("tell how much there is to do", async () => {
    const [scheduled, running, overdue, leases, waiting] = (await figures()).map(Number);
    await create({ scheduledStartTime: "2035-03-01T15:00:00Z" });
    const batchJobId = await create({ contacts: makeContacts(3) });
    await call("startBatchJob", { batchJobId });
    const leased = await fetch(`${service.httpUrl}/callsheet.v1.ContactWorkerService/LeaseContacts`, {
      method: "POST",
      headers: { authorization: `Bearer ${service.apiKey}`, "content-type": "application/json" },
      body: JSON.stringify({ workerId: "w", maxContacts: 1, wait: "20s", batchJobIds: [batchJobId] }),
    });
    expect(await leased.json()).toMatchObject({ contacts: [{ batchJobId }] });
    expect(await figures()).toEqual([
      Number(scheduled) + 1,
      Number(running) + 1,
      overdue,
      Number(leases) + 1,
      Number(waiting) + 2,
    ]);
  });

  test("tell how late a job was started", async () => {
    const scheduledStartTime = new Date(Date.now() + 1_500).toISOString();
    const started = async () => {
      const batchJobId = await create({ scheduledStartTime });
      await eventually(async () =>
        expect(await call("getBatchJob", { batchJobId })).toMatchObject({
          ok: { batchJob: { status: "BATCH_JOB_STATUS_RUNNING", startLag: expect.stringMatching(/s$/) } },
        }),
      );
    };
    expect(await moves("callsheet_start_lag_seconds_count", started)).toBe(1);
  });

  test("do not count a start by hand as late", async () => {
    expect(await moves("callsheet_start_lag_seconds_count", startByHand)).toBe(0);
  });

  test("count the contacts that were put on lists", async () => {
    expect(await moves("callsheet_fan_out_contacts_total", startByHand)).toBe(7);
    expect(await moves("callsheet_fan_out_seconds_count", startByHand)).toBe(1);
  });

  test("count the outcomes of attempts, each once", async () => {
    const lease = { workerId: "w", maxContacts: 2, wait: "20s", batchJobIds: [await startedJob()] };
    const { contacts } = await askWorker<{ contacts: { leaseId: string }[] }>("LeaseContacts", lease);
    const [first, second] = contacts.map(({ leaseId }) => leaseId);
    const outcomes = [
      { leaseId: first, outcome: "OUTCOME_BUSY" },
      { leaseId: second, outcome: "OUTCOME_COMPLETED" },
    ];
    const report = () => askWorker("ReportOutcomes", { outcomes });
    expect(await moves('callsheet_outcomes_total{outcome="busy"}', report)).toBe(1);
    expect(await moves('callsheet_outcomes_total{outcome="completed"}', report)).toBe(0);
  });

  test("count the rows of files that are added, and time them", async () => {
    expect(await moves('callsheet_import_contacts_total{result="accepted"}', sendContactsFile)).toBe(2);
    expect(await moves('callsheet_import_contacts_total{result="rejected"}', sendContactsFile)).toBe(1);
    expect(await moves("callsheet_import_seconds_count", sendContactsFile)).toBe(1);
    expect((await metrics()).get("callsheet_imports_in_hand")).toBe(0);
  });

  test("time the files that are read", async () => {
    expect(await moves("callsheet_export_seconds_count", readContactsFile)).toBe(1);
    expect((await metrics()).get("callsheet_exports_in_hand")).toBe(0);
  });

  test("tell that Redis is there, and that nothing was put right", async () => {
    const samples = await metrics();
    expect(samples.get("callsheet_redis_up")).toBe(1);
    expect([...samples.keys()].filter((name) => name.startsWith("callsheet_sweep_repairs_total{"))).toEqual(
      [],
    );
  });

  test("hold nothing that a caller made up", async () => {
    const marker = `x${randomBytes(6).toString("hex")}`;
    await call("getBatchJob", { batchJobId: marker });
    await fetch(`${service.httpUrl}/callsheet.v1.BatchJobService/${marker}`, { method: "POST" });
    await fetch(`${service.httpUrl}/${marker}`);
    expect((await page("/metrics")).text).not.toContain(marker);
  });
});
