import type { IncomingMessage, ServerResponse } from "node:http";
import { type DescMessage, create, toJson } from "@bufbuild/protobuf";
import { BatchJobError } from "../../domain/batch-job-error.ts";
import { BatchJobService, ImportContactsRequestSchema } from "../../gen/callsheet/v1/batch_job_service_pb.ts";
import type { CallsInHand } from "../calls/calls-in-hand.ts";
import { toConnectError } from "../errors.ts";
import { cutOff } from "./over-http2.ts";
import { sendText } from "./pages.ts";
import { clientLeft } from "../calls/last-resort.ts";
import type { InvokeMethod } from "../calls/invoke.ts";
import type { ListenerOptions } from "../listener.ts";
import { invokerOf, openPlainCall } from "./plain-call.ts";

const { importContacts: method } = BatchJobService.method;
export const contactsOfJob = /^\/batch-jobs\/([^/?]+)\/contacts\.csv$/;

const jsonOptions = { alwaysEmitImplicit: true };

/** Who was refused while he still sends has this long to see why. */
const farewellMs = 2_000;

export const isUpload = (request: IncomingMessage): boolean =>
  contactsOfJob.test(request.url?.split("?", 1)[0] ?? "");

/** Answers the request; undefined if it is not for a job's contacts.csv. */
export type AnswerUpload = (
  request: IncomingMessage,
  response: ServerResponse,
  settled: () => void,
) => Promise<void> | undefined;

/**
 * `POST /batch-jobs/{batch_job_id}/contacts.csv` as a call of ImportContacts, with its checks and its answer. Errors
 * are as Connect writes them.
 */
export function createUploads(options: ListenerOptions, calls: CallsInHand): AnswerUpload {
  const found = invokerOf(method, options, calls);
  if (found === undefined) return () => undefined;
  const invoke: InvokeMethod = found;

  async function answer(
    batchJobId: string,
    query: URLSearchParams,
    request: IncomingMessage,
    response: ServerResponse,
    settled: () => void,
  ) {
    const call = openPlainCall(method, request, response, { options, calls, settled });
    try {
      await call.enter();
      const result = await invoke(call.context, toMessages(batchJobId, query, request, response));
      if (!result.stream) throw new Error("an upload is a stream");
      for await (const message of result.message) {
        const body = JSON.stringify(toJson(method.output as DescMessage, message, jsonOptions));
        response.setHeaders(result.header).writeHead(200, { "content-type": "application/json" }).end(body);
      }
    } catch (thrown) {
      call.refuse(thrown);
      if (!request.complete) setTimeout(() => cutOff(request), farewellMs).unref();
    }
  }

  return (request, response, settled) => {
    const [path = "", search = ""] = (request.url ?? "").split("?", 2);
    const [, batchJobId] = contactsOfJob.exec(path) ?? [];
    if (batchJobId === undefined) return undefined;
    if (request.method === "POST")
      return answer(batchJobId, new URLSearchParams(search), request, response, settled);
    response.setHeader("allow", "GET, POST");
    sendText(response, 405, "Send a CSV file here with POST, or take one with GET.");
    return Promise.resolve();
  };
}

/** The request as the stream that ImportContacts takes. It throws unless the whole body came. */
async function* toMessages(
  batchJobId: string,
  query: URLSearchParams,
  request: IncomingMessage,
  response: ServerResponse,
) {
  yield create(ImportContactsRequestSchema, {
    part: { case: "header", value: { batchJobId, ...readQuery(query) } },
  });
  if (request.headers.expect !== undefined) response.writeContinue();
  let total = 0;
  for await (const csv of whileItsClientStays(request)) {
    total += csv.length;
    yield create(ImportContactsRequestSchema, { part: { case: "csv", value: csv } });
  }
  // A body that broke off may look as if it had ended. HTTP/1.1 tells whether it had; else its length must be given.
  const isWhole =
    request.httpVersionMajor === 1 ? request.complete : Number(request.headers["content-length"]) === total;
  if (!isWhole)
    throw refuse("content-length", "The file broke off, or its length was not given. Send it again.");
  yield create(ImportContactsRequestSchema, { part: { case: "end", value: { totalBytes: BigInt(total) } } });
}

/** Node calls a client that has left ECONNRESET, which is what a lost Postgres is called too. */
async function* whileItsClientStays(request: IncomingMessage): AsyncIterable<Uint8Array> {
  try {
    yield* request.iterator({ destroyOnReturn: false });
  } catch {
    throw clientLeft();
  }
}

function readQuery(query: URLSearchParams): { requestId: string; expectedRevision?: bigint } {
  const { request_id: requestId = "", expected_revision: revision, ...others } = Object.fromEntries(query);
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw refuse(
      unknown.slice(0, 64),
      "The query may hold request_id and expected_revision, and nothing else.",
    );
  }
  if (revision === undefined) return { requestId };
  if (!/^\d{1,18}$/.test(revision))
    throw refuse("expected_revision", "expected_revision must be a whole number.");
  return { requestId, expectedRevision: BigInt(revision) };
}

const refuse = (field: string, message: string) =>
  toConnectError(new BatchJobError("invalid_argument", message, { field }));
