import { randomBytes } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { generateApiKey } from "../../src/domain/api-key.ts";
import { BatchJobStatus, Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { cloneDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { mainSettings, startMain } from "../support/main.ts";
import { makeContacts } from "../support/make.ts";
import { type ReceivedSpan, startReceiver } from "../support/servers/otlp.ts";
import { root } from "../support/readme.ts";
import { createClients } from "../support/replica.ts";
import { startInbox } from "../webhooks/inbox.ts";

const database = await cloneDatabase();
afterAll(() => database[Symbol.asyncDispose]());
const apiKey = generateApiKey();
const settings = mainSettings(database.url, apiKey);

/** A replica as operators run it; all of them work on one database. */
async function startTraced(endpoint: string, more: Record<string, string> = {}) {
  const program = await startMain({
    ...settings,
    DATABASE_POOL_SIZE: "6",
    LOG_LEVEL: "warn",
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    OTEL_BSP_SCHEDULE_DELAY: "100",
    ...more,
  });
  return {
    ...program,
    ...createClients(program.grpcUrl, apiKey),
    /** Ends it as an operator does, and waits for that. */
    async stop() {
      program.child.kill("SIGTERM");
      return await program.ended;
    },
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}

const traceparentOf = (traceId: string, spanId: string) => `00-${traceId}-${spanId}-01`;
const ownTrace = () => ({
  traceId: randomBytes(16).toString("hex"),
  spanId: randomBytes(8).toString("hex"),
});

const addressOf = ({ traceId, spanId }: { traceId: string; spanId: string }) => `${traceId}-${spanId}`;

/** The one span with this name that is about a job, or that passes the test. */
const findSpan = (spans: readonly ReceivedSpan[], name: string, is: (span: ReceivedSpan) => boolean) =>
  eventually(() => {
    const found = spans.filter((span) => span.name === name && is(span));
    expect(found).toHaveLength(1);
    return found[0] as ReceivedSpan;
  }, 10_000);

const isAbout = (batchJobId: string) => (span: ReceivedSpan) =>
  span.attributes["callsheet.batch_job.id"] === batchJobId;

const aJob = { name: "Spring campaign", fromPhoneNumberId: "pn_secret_1", contacts: makeContacts(2) };
const jobs = "callsheet.v1.BatchJobService";
const workers = "callsheet.v1.ContactWorkerService";

describe("a campaign", () => {
  test("is linked from its creation over its start and its leases to its outcomes, from replica to replica", async () => {
    await using receiver = await startReceiver();
    const { spans } = receiver;
    const caller = ownTrace();
    const first = await startTraced(receiver.url);
    const response = await fetch(`${first.httpUrl}/${jobs}/CreateBatchJob`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${apiKey}`,
        "content-type": "application/json",
        traceparent: traceparentOf(caller.traceId, caller.spanId),
      },
      body: JSON.stringify({ ...aJob, scheduledStartTime: new Date(Date.now() + 4_000).toISOString() }),
    });
    const { batchJobId } = (await response.json()) as { batchJobId: string };
    // Its last spans are sent as it ends.
    expect(await first.stop()).toMatchObject({ exitCode: 0 });
    const created = await findSpan(spans, `${jobs}/CreateBatchJob`, isAbout(batchJobId));
    expect(created).toMatchObject({
      traceId: caller.traceId,
      parentSpanId: caller.spanId,
      attributes: { "rpc.system": "connect_rpc", "rpc.service": jobs, "rpc.method": "CreateBatchJob" },
    });

    await using second = await startTraced(receiver.url);
    const { contacts } = await second.worker.leaseContacts({
      workerId: "w",
      maxContacts: 2,
      wait: { seconds: 30n },
    });
    const started = await findSpan(spans, "start of a batch job", isAbout(batchJobId));
    expect(started.links).toEqual([addressOf(created)]);
    expect([started.parentSpanId, started.traceId === caller.traceId]).toEqual(["", false]);

    const leased = await findSpan(spans, `${workers}/LeaseContacts`, () => true);
    expect(leased.links).toEqual([addressOf(started)]);
    expect(leased.attributes).toMatchObject({ "rpc.system": "grpc", "callsheet.organization": 1 });
    const given = traceparentOf(leased.traceId, leased.spanId);
    expect(contacts.map(({ traceparent }) => traceparent)).toEqual([given, given]);

    // The worker's own call is a span in that trace; it reports one contact with it, and one with the lease's.
    const call = { ...ownTrace(), traceId: leased.traceId };
    const outcomes = contacts.map(({ leaseId, traceparent }, i) => ({
      leaseId,
      outcome: Outcome.COMPLETED,
      traceparent: i === 0 ? traceparentOf(call.traceId, call.spanId) : (traceparent ?? ""),
    }));
    await second.worker.reportOutcomes({ outcomes });
    const reported = await findSpan(spans, `${workers}/ReportOutcomes`, () => true);
    expect(reported.links).toEqual([addressOf(call), addressOf(leased)]);
    expect((await second.jobs.getBatchJob({ batchJobId })).batchJob?.status).toBe(BatchJobStatus.COMPLETED);

    for (const secret of [apiKey, aJob.fromPhoneNumberId, aJob.name, contacts[0]?.phone ?? ""])
      expect(receiver.raw()).not.toContain(secret);
  });

  test("that is started over a path by hand links its start to its creation, and its leases to that", async () => {
    await using receiver = await startReceiver();
    await using replica = await startTraced(receiver.url);
    const { batchJobId } = await replica.jobs.createBatchJob(aJob);
    const caller = ownTrace();
    const traceparent = traceparentOf(caller.traceId, caller.spanId);
    const headers = { authorization: `Bearer ${apiKey}`, traceparent };
    const path = `${replica.httpUrl}/batch/jobs/${batchJobId}/start`;
    const response = await fetch(path, { method: "POST", headers });
    expect([response.status, await response.text()]).toEqual([200, expect.anything()]);
    await replica.worker.leaseContacts({
      workerId: "w",
      maxContacts: 1,
      batchJobIds: [batchJobId],
      wait: { seconds: 20n },
    });
    const created = await findSpan(receiver.spans, `${jobs}/CreateBatchJob`, () => true);
    const started = await findSpan(receiver.spans, `${jobs}/StartBatchJob`, () => true);
    expect(started).toMatchObject({ traceId: caller.traceId, parentSpanId: caller.spanId });
    expect(started.attributes).toMatchObject({ "http.request.method": "POST" });
    expect(started.links).toEqual([addressOf(created)]);
    const leased = await findSpan(receiver.spans, `${workers}/LeaseContacts`, () => true);
    expect(leased.links).toEqual([addressOf(started)]);
  });

  test("whose caller is not sampled is not traced, nor anything kept of it", async () => {
    await using receiver = await startReceiver();
    await using replica = await startTraced(receiver.url);
    const { traceId, spanId } = ownTrace();
    const headers = { traceparent: `00-${traceId}-${spanId}-00` };
    const { batchJobId } = await replica.jobs.createBatchJob(aJob, { headers });
    await replica.jobs.startBatchJob({ batchJobId }, { headers });
    const lease = { workerId: "w", maxContacts: 1, batchJobIds: [batchJobId], wait: { seconds: 20n } };
    const unsampled = await replica.worker.leaseContacts(lease, { headers });
    expect(unsampled.contacts.map(({ traceparent }) => traceparent)).toEqual([undefined]);
    const sampled = await replica.worker.leaseContacts(lease);
    expect(sampled.contacts.map(({ traceparent }) => typeof traceparent)).toEqual(["string"]);
    await replica.stop();
    expect(receiver.spans.map(({ name, links }) => [name, links])).toEqual([
      [`${workers}/LeaseContacts`, []],
    ]);
  });

  test("is refused no report for a traceparent that is none", async () => {
    await using receiver = await startReceiver();
    await using replica = await startTraced(receiver.url);
    const { batchJobId } = await replica.jobs.createBatchJob(aJob);
    await replica.jobs.startBatchJob({ batchJobId });
    const lease = { workerId: "w", maxContacts: 1, batchJobIds: [batchJobId], wait: { seconds: 20n } };
    const { contacts } = await replica.worker.leaseContacts(lease);
    const [contact] = contacts;
    const report = { leaseId: contact?.leaseId ?? "", outcome: Outcome.BUSY, traceparent: "no such thing" };
    const { outcomes } = await replica.worker.reportOutcomes({ outcomes: [report] });
    expect(outcomes).toMatchObject([{ outcome: Outcome.BUSY }]);
    const reported = await findSpan(receiver.spans, `${workers}/ReportOutcomes`, () => true);
    expect(reported.links).toEqual([]);
  });
});

test("each attempt to deliver a webhook is a span that its receiver can go on from", async () => {
  await using receiver = await startReceiver();
  await using inbox = await startInbox();
  inbox.answerWith(() => 503);
  await using replica = await startTraced(receiver.url, { WEBHOOK_ALLOW_INSECURE: "true" });
  const { webhookEndpoint } = await replica.webhooks.createWebhookEndpoint({
    url: inbox.url,
    types: ["batch_job.created"],
  });
  await replica.jobs.createBatchJob(aJob);
  await eventually(() => expect(inbox.received).toHaveLength(1), 20_000);
  const [came] = inbox.received;
  const delivery = await findSpan(receiver.spans, "delivery of a webhook", () => true);
  expect(came?.headers["traceparent"]).toBe(traceparentOf(delivery.traceId, delivery.spanId));
  expect(delivery.parentSpanId).toBe("");
  expect(delivery.attributes).toMatchObject({
    "callsheet.webhook_endpoint.id": webhookEndpoint?.webhookEndpointId,
    "callsheet.webhook.id": came?.id,
    "callsheet.webhook.type": "batch_job.created",
    "http.response.status_code": 503,
    "error.type": "status",
  });
  for (const secret of [inbox.url, aJob.name, aJob.fromPhoneNumberId])
    expect(receiver.raw()).not.toContain(secret);
});

/** What the log says of the receiver. */
const complaints = (stderr: string) => stderr.match(/Traces are not received/g) ?? [];

test("a receiver that hangs harms nothing, is said once, and does not hold up the end", async () => {
  await using receiver = await startReceiver();
  receiver.hang();
  await using replica = await startTraced(receiver.url, { OTEL_EXPORTER_OTLP_TIMEOUT: "300" });
  await eventually(async () => {
    await replica.jobs.createBatchJob(aJob);
    expect(receiver.asked()).toBeGreaterThan(2);
  }, 20_000);
  const { exitCode, stderr } = await replica.stop();
  expect(exitCode).toBe(0);
  expect(complaints(stderr)).toHaveLength(1);
});

test("a receiver that is not there harms nothing, and is said once", async () => {
  const gone = await startReceiver();
  await gone[Symbol.asyncDispose]();
  await using replica = await startTraced(gone.url, { OTEL_EXPORTER_OTLP_TIMEOUT: "300" });
  await eventually(async () => {
    await replica.jobs.createBatchJob(aJob);
    expect(complaints(replica.said.stderr)).not.toEqual([]);
  }, 20_000);
  const { exitCode, stderr } = await replica.stop();
  expect([exitCode, complaints(stderr).length]).toEqual([0, 1]);
});

test("nothing but the API of OpenTelemetry is loaded unless traces are wanted", () => {
  const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" });
  const importing = files
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) =>
      [...readFileSync(join(root, "src", file), "utf8").matchAll(/from "(@opentelemetry\/[^"]+)"/g)].map(
        ([, name]) => `${file}: ${name}`,
      ),
    );
  expect(importing).toEqual(["vitals/traces.ts: @opentelemetry/api"]);
});
