// What a page of another origin does with the service, built for a browser by the test.
import { ConnectError, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { BatchJobService } from "../../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ErrorInfoSchema } from "../../../src/gen/google/rpc/error_details_pb.ts";

type Service = { readonly baseUrl: string; readonly apiKey: string };

/** Calls, streams and is refused; answers what a user of the page would see. */
async function tryClient(transport: Transport, name: string) {
  const jobs = createClient(BatchJobService, transport);
  const { batchJobId } = await jobs.createBatchJob({
    name,
    fromPhoneNumberId: "pn_1",
    contacts: [{ phone: "+14155550101" }],
  });
  const statuses: (number | undefined)[] = [];
  for await (const { batchJob } of jobs.watchBatchJobs({ batchJobIds: [batchJobId] })) {
    statuses.push(batchJob?.status);
    if (statuses.length === 2) break;
    await jobs.startBatchJob({ batchJobId });
  }
  const refusal = await jobs.startBatchJob({ batchJobId }).then(() => undefined, ConnectError.from);
  return { batchJobId, statuses, reasons: refusal?.findDetails(ErrorInfoSchema).map(({ reason }) => reason) };
}

async function call({ baseUrl, apiKey }: Service) {
  const withKey: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${apiKey}`);
    return next(request);
  };
  const options = { baseUrl, interceptors: [withKey] };
  const connect = await tryClient(createConnectTransport(options), "Connect");
  const grpcWeb = await tryClient(createGrpcWebTransport(options), "gRPC-Web");
  const at = `${baseUrl}/batch/jobs/${connect.batchJobId}`;
  const headers = { "x-api-key": apiKey, "idempotency-key": "once" };
  const detail = await fetch(at, { headers });
  const [etag, { id }] = [detail.headers.get("etag"), (await detail.json()) as { id: string }];
  const cancelled = await fetch(`${at}/cancel`, {
    method: "POST",
    headers: { ...headers, "if-match": '"1"' },
  });
  const csv = await fetch(`${baseUrl}/batch-jobs/${id}/contacts.csv`, {
    headers: { authorization: `Bearer ${apiKey}` },
  });
  return {
    connect: [connect.statuses, connect.reasons],
    grpcWeb: [grpcWeb.statuses, grpcWeb.reasons],
    etag: /^"\d+"$/.test(etag ?? ""),
    cancelled: cancelled.status,
    fileName: csv.headers.get("content-disposition")?.includes(id),
  };
}

/** Whether anything of an answer can be seen. */
const isBlocked = ({ baseUrl, apiKey }: Service) =>
  fetch(`${baseUrl}/batch/jobs`, { headers: { "x-api-key": apiKey } }).then(
    () => false,
    () => true,
  );

Object.assign(globalThis, { foreign: { call, isBlocked } });
