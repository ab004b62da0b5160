// npm run demo: brings up the service on servers of its own, creates a job of 1,000 contacts from a CSV file, schedules
// it 3 s ahead, works it with a simulated dialer, and shows how far it is until it has ended. No call is placed.
import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { generateApiKey } from "../domain/api-key.ts";
import { chooseDataDirectory } from "../embedded/data-directory.ts";
import { startEmbeddedPostgres } from "../embedded/postgres/postgres.ts";
import { startEmbeddedRedis } from "../embedded/redis/redis.ts";
import { BatchJobService } from "../gen/callsheet/v1/batch_job_service_pb.ts";
import { type ContactCounts } from "../gen/callsheet/v1/batch_job_pb.ts";
import { ContactWorkerService } from "../gen/callsheet/v1/contact_worker_service_pb.ts";
import { openLog } from "../vitals/logger.ts";
import { startService } from "../service.ts";
import { runWorker } from "../worker/run-worker.ts";
import { simulatedDialer } from "../worker/simulated-dialer.ts";

const print = (line: string): void => void process.stdout.write(`${line}\n`);

const finalsOf = (counts: ContactCounts): [string, number][] =>
  Object.entries(counts).filter(
    (entry): entry is [string, number] =>
      typeof entry[1] === "number" && !["total", "pending", "waitingRetry", "dialing"].includes(entry[0]),
  );

const { progress } = await import("@clack/prompts").catch(() => {
  process.stderr.write(
    "The demo needs optional dependencies, which are not installed here; run npm ci with nothing left out.\n",
  );
  process.exit(1);
});

const stop = new AbortController();
// Ctrl-C takes down what was brought up. npm hands it on, so that it comes twice.
for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stop.abort());

/** Answers what the process ends with. */
async function show(): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const dataDirectory = await mkdtemp(join(tmpdir(), "callsheet-demo-"));
  await chmod(dataDirectory, 0o755);
  stack.defer(() => rm(dataDirectory, { recursive: true, force: true }));
  const embedded = {
    dataDirectory,
    packageDirectory: join(chooseDataDirectory(undefined), "redis-package"),
    say: () => {},
  };
  print("Starting Postgres, Redis and the service, with empty data …");
  const postgres = stack.use(await startEmbeddedPostgres(embedded));
  stop.signal.throwIfAborted();
  const redis = stack.use(await startEmbeddedRedis(embedded));
  stop.signal.throwIfAborted();
  const apiKey = generateApiKey();
  const service = stack.use(
    await startService({
      databaseUrl: postgres.url,
      databasePoolSize: 10,
      redisUrl: redis.url,
      redisPrefix: "callsheet",
      host: "127.0.0.1",
      port: 0,
      grpcPort: 0,
      bootstrapApiKey: apiKey,
      shutdownTimeoutMs: 5_000,
      logger: stack.use(openLog("error")).logger,
    }),
  );
  const transport = createGrpcTransport({
    baseUrl: `http://127.0.0.1:${service.grpcPort}`,
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${apiKey}`);
        return next(request);
      },
    ],
  });
  const jobs = createClient(BatchJobService, transport);

  const { batchJobId } = await jobs.createBatchJob({
    name: "Demo campaign",
    fromPhoneNumberId: "pn_demo",
    concurrentCallLimit: 100,
    retryDelays: [{ seconds: 1n }, { seconds: 2n }],
  });
  const imported = await fetch(`http://127.0.0.1:${service.port}/batch-jobs/${batchJobId}/contacts.csv`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}` },
    body: await readFile(join(import.meta.dirname, "contacts.csv")),
  });
  if (!imported.ok) throw new Error(await imported.text());
  const { scheduledStartTime } = await jobs.rescheduleBatchJob({
    batchJobId,
    scheduledStartTime: new Date(Date.now() + 3_000).toISOString(),
  });
  const { batchJob: scheduled } = await jobs.getBatchJob({ batchJobId });
  const totalContacts = scheduled?.counts?.total ?? 0;
  const startsAt = scheduledStartTime ? timestampDate(scheduledStartTime).toISOString() : "";
  print(`Created a job of ${totalContacts} contacts from a CSV file; it starts by itself at ${startsAt}.`);

  const ended = new AbortController();
  const working = runWorker({
    client: createClient(ContactWorkerService, transport),
    concurrency: 100,
    call: simulatedDialer({ seed: 1, longestMs: 1_000 }),
    signal: AbortSignal.any([ended.signal, stop.signal]),
  });

  const bar = progress({ max: totalContacts });
  bar.start("waiting for its start time");
  let shown = 0;
  let last;
  for await (const { batchJob } of jobs.watchBatchJobs(
    { batchJobIds: [batchJobId] },
    { signal: stop.signal },
  )) {
    // A message without a job is a sign of life.
    if (batchJob?.counts === undefined) continue;
    last = batchJob;
    const { total, dialing, waitingRetry } = batchJob.counts;
    const done = finalsOf(batchJob.counts).reduce((sum, [, count]) => sum + count, 0);
    if (batchJob.startedAt !== undefined) {
      bar.advance(done - shown, `${done}/${total} done, ${dialing} calling, ${waitingRetry} to retry`);
    }
    shown = done;
  }
  bar.stop(last?.startLag ? `ended; it had started ${last.startLag.nanos / 1e6} ms after its time` : "ended");
  ended.abort();
  await working;

  print("");
  for (const [status, count] of last?.counts ? finalsOf(last.counts) : []) {
    if (count > 0) print(`  ${status.padEnd(16)}${String(count).padStart(5)}`);
  }
  print(`  ${"total".padEnd(16)}${String(last?.counts?.total).padStart(5)}`);
  return last?.counts?.completed === 0 ? 1 : 0;
}

try {
  process.exit(await show());
} catch (error) {
  if (!stop.signal.aborted) throw error;
  process.exit(1);
}
