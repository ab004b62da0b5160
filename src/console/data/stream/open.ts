import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { BatchJobService } from "../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { proof } from "../service/proof.ts";
import type { Follower } from "./follow.ts";

/** Opens streams of the service at this address, as whoever is signed in. */
export function openerAt(baseUrl: string): Follower["open"] {
  const service = createClient(BatchJobService, createConnectTransport({ baseUrl, useBinaryFormat: true }));
  return (ids, signal) =>
    service.watchBatchJobs({ batchJobIds: [...ids] }, { signal, timeoutMs: 0, headers: proof });
}
