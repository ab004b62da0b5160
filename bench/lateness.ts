// How long after their times jobs are started: 200 jobs spaced over 10 s, then 2,000 due in the same instant.
// The lateness is the database's own: from scheduled_start_time to the commit that started the job, in whole ms.
import { setTimeout as delay } from "node:timers/promises";
import { durationMs } from "../src/rpc/convert.ts";
import { type BatchJob, BatchJobStatus } from "../src/gen/callsheet/v1/batch_job_pb.ts";
import { type FreshService, startFreshService } from "./fresh-service.ts";

const print = (line: string): void => void process.stdout.write(`${line}\n`);

async function createAll({ client }: FreshService, name: string, times: readonly Date[]): Promise<void> {
  const queue = [...times.entries()];
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const [index, time] = next;
        await client.createBatchJob({
          name,
          fromPhoneNumberId: "pn_1",
          contacts: [{ phone: `+1415${5_000_000 + index}` }],
          scheduledStartTime: time.toISOString(),
        });
      }
    }),
  );
}

async function startedJobs({ client }: FreshService, name: string, count: number): Promise<BatchJob[]> {
  for (;;) {
    const jobs: BatchJob[] = [];
    for (let pageToken = ""; ;) {
      const page = await client.listBatchJobs({
        nameContains: name,
        statuses: [BatchJobStatus.RUNNING],
        pageSize: 1_000,
        pageToken,
      });
      jobs.push(...page.batchJobs);
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    if (jobs.length === count) return jobs;
    await delay(200);
  }
}

function report(name: string, jobs: readonly BatchJob[]): void {
  const lags = jobs
    .map((job) => (job.startLag ? durationMs(job.startLag) : Number.NaN))
    .toSorted((a, b) => a - b);
  const at = (share: number) => lags[Math.min(lags.length - 1, Math.floor(lags.length * share))];
  print(`| ${name} | ${lags.length} | ${lags[0]} | ${at(0.5)} | ${at(0.9)} | ${at(0.99)} | ${lags.at(-1)} |`);
}

await using service = await startFreshService();
print("| workload | jobs | min ms | p50 ms | p90 ms | p99 ms | max ms |");
print("|---|---|---|---|---|---|---|");

const first = Date.now() + 3_000;
await createAll(
  service,
  "spaced",
  Array.from({ length: 200 }, (_, i) => new Date(first + i * 50)),
);
await delay(Math.max(0, first + 10_000 - Date.now()));
report("200 jobs, 50 ms apart", await startedJobs(service, "spaced", 200));

const instant = new Date(Date.now() + 15_000);
await createAll(
  service,
  "burst",
  Array.from({ length: 2_000 }, () => instant),
);
if (Date.now() > instant.getTime())
  throw new Error("creating the jobs took longer than the time to their start");
await delay(Math.max(0, instant.getTime() + 1_000 - Date.now()));
report("2,000 jobs at once", await startedJobs(service, "burst", 2_000));
