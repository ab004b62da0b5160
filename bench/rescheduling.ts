// Ten thousand scheduled jobs of one organization moved by a day: by one RescheduleBatchJobs, and by a
// RescheduleBatchJob for each.
import { randomUUID } from "node:crypto";
import { BatchJobService } from "../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { makeJobs } from "./commands.ts";
import { perSecond } from "./contacts.ts";
import { type FreshService, startFreshService } from "./fresh-service.ts";
import { openGrpcClient } from "./grpc-client.ts";
import { cpuSecondsOf, postgresCpuSeconds } from "./measure.ts";
import type { Sample, Workload } from "./workload.ts";

const jobCount = 10_000;
const inFlight = 64;

type Move = (service: FreshService, ids: readonly string[]) => Promise<void>;

const atOnce: Move = async ({ client }) => {
  const request = { requestId: randomUUID(), filter: {}, shift: { seconds: 86_400n } };
  let moved = 0;
  for await (const { part } of client.rescheduleBatchJobs(request)) {
    if (part.case === "summary") moved = part.value.movedCount;
  }
  if (moved !== jobCount) throw new Error(`${moved} jobs were moved`);
};

const oneByOne: Move = async ({ grpcAddress, apiKey }, ids) => {
  const { call, close } = openGrpcClient(grpcAddress, apiKey);
  const left = ids.values();
  const caller = async () => {
    for (const batchJobId of left) {
      const request = { requestId: randomUUID(), batchJobId, scheduledStartTime: "2034-01-02T00:00:00Z" };
      await call(BatchJobService.method.rescheduleBatchJob, request);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, caller));
  close();
};

async function measure(move: Move): Promise<Sample> {
  await using service = await startFreshService();
  const ids = await makeJobs(service, jobCount);
  const cpuOf = async () => [await cpuSecondsOf(service.pid), await postgresCpuSeconds(service.databaseUrl)];
  const [ownBefore = 0, postgresBefore = 0] = await cpuOf();
  const began = performance.now();
  await move(service, ids);
  const value = perSecond(jobCount, began);
  const seconds = (performance.now() - began) / 1_000;
  const [own = 0, postgres = 0] = await cpuOf();
  const perJob = (cpuSeconds: number) => Math.round((cpuSeconds * 1e6) / jobCount);
  return {
    value,
    extra: {
      seconds,
      "service, µs a job": perJob(own - ownBefore),
      "Postgres, µs a job": perJob(postgres - postgresBefore),
    },
  };
}

export const rescheduling = (): Workload => ({
  name: "move-many",
  title: `${jobCount} scheduled jobs moved by a day`,
  unit: "jobs/s",
  better: "higher",
  note: "Jobs of one organization, over gRPC, from one client on the same machine.",
  entrants: [
    { name: "Callsheet, one RescheduleBatchJobs", role: "callsheet", run: () => measure(atOnce) },
    {
      name: `Callsheet, RescheduleBatchJob for each, ${inFlight} in flight`,
      role: "callsheet",
      run: () => measure(oneByOne),
    },
  ],
});
