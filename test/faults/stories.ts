import { randomUUID } from "node:crypto";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { persistent } from "../../src/client/persistent.ts";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { createGrpcJsTransport } from "../rpc/grpc-js-transport.ts";
import { makeContacts } from "../support/make.ts";
import type { Replica } from "../support/replica.ts";

/** What gRPC clients are configured with by those who run more than one server. */
const ordinaryRetries = {
  "grpc.initial_reconnect_backoff_ms": 200,
  "grpc.max_reconnect_backoff_ms": 1_000,
  "grpc.service_config": JSON.stringify({
    loadBalancingConfig: [{ round_robin: {} }],
    methodConfig: [
      {
        name: [{}],
        retryPolicy: {
          maxAttempts: 5,
          initialBackoff: "0.1s",
          maxBackoff: "2s",
          backoffMultiplier: 2,
          retryableStatusCodes: ["UNAVAILABLE"],
        },
      },
    ],
  }),
};

const contacts = 5;

/** Jobs that are worked from their beginning to their end, one after another, by clients that try again for a while. */
export type Stories = AsyncDisposable & {
  /** How many have come to their end. */
  told(): number;
  /** Those that did not, and why. */
  readonly failures: readonly string[];
  /** Resolves when those that are being told have ended. */
  stop(): Promise<void>;
};

/**
 * So many stories at a time, each of whose calls goes to any of the replicas. Nobody else works their jobs. With a
 * patience a call is tried again for so long, as the package's client does; without, as often as gRPC does it, which is
 * for some seconds.
 */
export function tellStories(
  replicas: readonly Replica[],
  apiKey: string,
  { atATime, patienceMs }: { atATime: number; patienceMs?: number },
): Stories {
  const address = `ipv4:${replicas.map(({ grpcUrl }) => new URL(grpcUrl).host).join(",")}`;
  const plain = createGrpcJsTransport(address, ordinaryRetries);
  const timeoutMs = patienceMs ?? 20_000;
  const transport = patienceMs === undefined ? plain : persistent(plain, { timeoutMs });
  const options = { headers: { authorization: `Bearer ${apiKey}` }, timeoutMs };
  const jobs = createClient(BatchJobService, transport);
  const worker = createClient(ContactWorkerService, transport);
  const stop = new AbortController();
  const failures: string[] = [];
  let told = 0;

  /** The numbers of a job's contacts, in pages that different replicas may give. */
  async function listed(batchJobId: string): Promise<number[]> {
    const numbers: number[] = [];
    for (let pageToken = ""; ;) {
      const page = await jobs.listContacts({ batchJobId, pageSize: 2, pageToken }, options);
      numbers.push(...page.contacts.map(({ number }) => number));
      pageToken = page.nextPageToken;
      if (pageToken === "") return numbers;
    }
  }

  async function tell(): Promise<void> {
    const creation = {
      requestId: randomUUID(),
      name: "A story",
      fromPhoneNumberId: "pn_1",
      contacts: makeContacts(contacts),
      maxAttempts: 1,
    };
    const { batchJobId } = await jobs.createBatchJob(creation, options);
    await jobs.startBatchJob({ requestId: randomUUID(), batchJobId }, options);
    for (let done = 0; done < contacts;) {
      const request = {
        workerId: "w",
        requestId: randomUUID(),
        maxContacts: contacts,
        wait: durationFromMs(500),
        batchJobIds: [batchJobId],
      };
      const leased = await worker.leaseContacts(request, options);
      const outcomes = leased.contacts.map(({ leaseId }) => ({ leaseId, outcome: Outcome.COMPLETED }));
      done += outcomes.length;
      if (outcomes.length > 0) await worker.reportOutcomes({ outcomes }, options);
    }
    const { batchJob } = await jobs.getBatchJob({ batchJobId }, options);
    if (batchJob?.counts?.completed !== contacts) failures.push(`${batchJobId} ended as ${batchJob?.status}`);
    const numbers = await listed(batchJobId);
    if (numbers.join() !== "1,2,3,4,5") failures.push(`${batchJobId} has the contacts ${numbers}`);
    told += 1;
  }

  /** Until one goes wrong. */
  async function tellOneAfterAnother(): Promise<void> {
    try {
      while (!stop.signal.aborted) await tell();
    } catch (error) {
      failures.push(String(error));
    }
  }

  const telling = Promise.all(Array.from({ length: atATime }, tellOneAfterAnother));
  async function end(): Promise<void> {
    stop.abort();
    await telling;
  }
  return { told: () => told, failures, stop: end, [Symbol.asyncDispose]: end };
}
