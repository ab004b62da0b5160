import type { Client } from "@connectrpc/connect";
import { createClient } from "@connectrpc/connect";
import type { BatchJob } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import type { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { runWorker } from "../../src/worker/run-worker.ts";
import { simulatedDialer } from "../../src/worker/simulated-dialer.ts";
import { grpcTo } from "../support/transports.ts";

/** A job as the API says it is; there must be one. */
export async function getJob(client: Client<typeof BatchJobService>, batchJobId: string): Promise<BatchJob> {
  const { batchJob } = await client.getBatchJob({ batchJobId });
  if (batchJob === undefined) throw new Error(`no batch job ${batchJobId}`);
  return batchJob;
}

/** A worker with a simulated telephone; disposing it lets its calls end. */
export function startWorker(
  service: { grpcUrl: string; apiKey: string },
  longestMs: number,
): AsyncDisposable {
  const stop = new AbortController();
  const transport = grpcTo(service.grpcUrl, service.apiKey);
  const working = runWorker({
    client: createClient(ContactWorkerService, transport),
    concurrency: 50,
    workerId: "dialer",
    call: simulatedDialer({ seed: 1, longestMs }),
    signal: stop.signal,
  });
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await working;
    },
  };
}
