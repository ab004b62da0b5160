import { type Client, type Interceptor, createClient } from "@connectrpc/connect";
import { expect } from "vitest";
import { type Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { type WorkerOptions, runWorker } from "../../src/worker/run-worker.ts";
import { eventually } from "./eventually.ts";
import { makeContacts } from "./make.ts";
import { grpcTo } from "./transports.ts";

/** An interceptor of one RPC alone. */
export const onRpc =
  (name: keyof typeof ContactWorkerService.method, interceptor: Interceptor): Interceptor =>
  (next) => {
    const intercepted = interceptor(next);
    return (request) => (request.method.localName === name ? intercepted(request) : next(request));
  };

export type Working = AsyncDisposable & { readonly ended: Promise<void>; stop(): void };

/** A backend that makes jobs, and workers that work them, both by clients with this key. */
export function workAt(baseUrl: string, apiKey: string) {
  const backend: Client<typeof BatchJobService> = createClient(BatchJobService, grpcTo(baseUrl, apiKey));
  const jobOf = async (batchJobId: string) => (await backend.getBatchJob({ batchJobId })).batchJob;
  return {
    jobOf,
    /** The first contact of the job, with its attempts. */
    contactOf: (batchJobId: string) => backend.getContact({ batchJobId, number: 1 }),

    async startJob(contacts: number, retryOn: Outcome[] = []): Promise<string> {
      const { batchJobId } = await backend.createBatchJob({
        name: "Spring campaign",
        fromPhoneNumberId: "pn_1",
        contacts: makeContacts(contacts),
        concurrentCallLimit: Math.max(50, contacts),
        retryOn,
        retryDelays: [{ seconds: 0n }],
      });
      await backend.startBatchJob({ batchJobId });
      return batchJobId;
    },

    untilEnded: (batchJobId: string, deadlineMs?: number) =>
      eventually(async () => expect((await jobOf(batchJobId))?.finishedAt).toBeDefined(), deadlineMs),

    /** A worker of these jobs; disposing it ends it and waits. */
    work(batchJobIds: string[], options: Partial<WorkerOptions> & Pick<WorkerOptions, "call">): Working {
      const stop = new AbortController();
      const client = createClient(ContactWorkerService, grpcTo(baseUrl, apiKey));
      const ended = runWorker({ client, concurrency: 10, signal: stop.signal, batchJobIds, ...options });
      return {
        ended,
        stop: () => stop.abort(),
        async [Symbol.asyncDispose]() {
          stop.abort();
          await ended;
        },
      };
    },
  };
}
