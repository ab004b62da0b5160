/*
 * Writes what a release leaves in a database, for the tests of migrations. Run once for a release, in its tree, on an
 * empty database of the oldest Postgres that it supports, with that version's pg_dump on the PATH:
 *
 *   DATABASE_URL=postgres://… REDIS_URL=redis://… \
 *     node test/postgres/releases/dump.ts > test/postgres/releases/X.Y.Z.sql
 */
import { execFileSync } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { pino } from "pino";
import { readConfig } from "../../../src/config.ts";
import { BatchJobStatus, Outcome } from "../../../src/gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "../../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { startService } from "../../../src/service.ts";
import { grpcTo } from "../../support/transports.ts";

/** The key of the organization in every dump. */
const apiKey = `cs_${"release".repeat(6)}`;

const { DATABASE_URL: databaseUrl = "", REDIS_URL: redisUrl = "" } = readConfig(process.env);

async function fill(): Promise<void> {
  await using service = await startService({
    databaseUrl,
    databasePoolSize: 6,
    redisUrl,
    redisPrefix: "release",
    host: "127.0.0.1",
    port: 0,
    grpcPort: 0,
    bootstrapApiKey: apiKey,
    shutdownTimeoutMs: 5_000,
    logger: pino({ level: "silent" }),
  });
  const transport = grpcTo(`http://127.0.0.1:${service.grpcPort}`, apiKey);
  const jobs = createClient(BatchJobService, transport);
  const workers = createClient(ContactWorkerService, transport);

  const create = async (name: string, contacts: number, scheduledStartTime = "") => {
    const { batchJobId } = await jobs.createBatchJob({
      requestId: name,
      name,
      fromPhoneNumberId: "pn_1",
      retryOn: [Outcome.BUSY],
      scheduledStartTime,
      contacts: Array.from({ length: contacts }, (_, i) => ({ phone: `+1415555${String(1_000 + i)}` })),
    });
    return batchJobId;
  };
  const run = async (name: string, contacts: number) => {
    const batchJobId = await create(name, contacts);
    await jobs.startBatchJob({ batchJobId, requestId: `start ${name}` });
    return batchJobId;
  };
  const work = async (batchJobId: string, outcomes: readonly Outcome[]) => {
    const { contacts } = await workers.leaseContacts({
      workerId: "worker",
      maxContacts: outcomes.length,
      wait: { seconds: 10n },
      batchJobIds: [batchJobId],
    });
    const reports = contacts.map(({ leaseId }, i) => ({ leaseId, outcome: outcomes[i] ?? Outcome.FAILED }));
    if (reports.length > 0) await workers.reportOutcomes({ outcomes: reports });
  };

  await create("pending", 3);
  await create("scheduled", 3, "2199-01-01T10:00:00");
  const running = await run("running", 10);
  await work(running, [Outcome.COMPLETED, Outcome.BUSY, Outcome.VOICEMAIL]);
  await workers.leaseContacts({ workerId: "worker", maxContacts: 2, batchJobIds: [running] });
  await jobs.pauseBatchJob({ batchJobId: await run("paused", 3) });
  await work(await run("completed", 2), [Outcome.COMPLETED, Outcome.COMPLETED]);
  await work(await run("failed", 1), [Outcome.INVALID_NUMBER]);
  await jobs.cancelBatchJob({ batchJobId: await run("cancelled", 3) });
  await jobs.deleteBatchJob({ batchJobId: await create("deleted", 3) });
  const due = await create("due", 3, new Date(Date.now() + 300).toISOString());
  const isRunning = async () =>
    (await jobs.getBatchJob({ batchJobId: due })).batchJob?.status === BatchJobStatus.RUNNING;
  while (!(await isRunning())) await delay(50);
}

await fill();
const dumped = execFileSync("pg_dump", ["--inserts", "--no-owner", "--no-privileges", databaseUrl], {
  encoding: "utf8",
});
// Comments, the dumper's own settings and commands of psql are no part of the schema; but functions come before the
// tables that their bodies name.
const isPart = (line: string) =>
  !/^(--|SET (?!check_function_bodies)|SELECT pg_catalog\.set_config|\\)/.test(line);
process.stdout.write(
  `${dumped
    .split("\n")
    .filter(isPart)
    .join("\n")
    .replace(/\n{3,}/g, "\n\n")
    .trim()}\n`,
);
