import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type MessageInitShape, create } from "@bufbuild/protobuf";
import {
  BatchJobService,
  ExportContactsRequestSchema,
  type ExportContactsResponse,
} from "../../gen/callsheet/v1/batch_job_service_pb.ts";
import type { CallsInHand } from "../calls/calls-in-hand.ts";
import { protoContactStatuses } from "../convert.ts";
import type { InvokeMethod } from "../calls/invoke.ts";
import type { ListenerOptions } from "../listener.ts";
import { invokerOf, openPlainCall } from "./plain-call.ts";
import { readQuery, refuse } from "./query.ts";
import { contactsOfJob } from "./upload.ts";

const { exportContacts: method } = BatchJobService.method;

/** A client that has taken nothing for so long hears no more; its export has been broken off before. */
const silenceMs = 60_000;

/** Answers the request; undefined if it does not ask for a job's contacts.csv. */
export type AnswerDownload = (
  request: IncomingMessage,
  response: ServerResponse,
  settled: () => void,
) => Promise<void> | undefined;

/**
 * `GET /batch-jobs/{batch_job_id}/contacts.csv` as a call of ExportContacts, with its checks. A file that breaks off
 * ends with its connection, so that nobody takes it for a whole one.
 */
export function createDownloads(options: ListenerOptions, calls: CallsInHand): AnswerDownload {
  const found = invokerOf(method, options, calls);
  if (found === undefined) return () => undefined;
  const invoke: InvokeMethod = found;

  async function answer(
    batchJobId: string,
    search: string,
    request: IncomingMessage,
    response: ServerResponse,
    settled: () => void,
  ) {
    const call = openPlainCall(method, request, response, { options, calls, settled });
    try {
      await call.enter();
      const result = await call.unlessOver(invoke(call.context, toMessages(batchJobId, search)));
      await writeFile(response, result, { batchJobId, unlessOver: call.unlessOver });
    } catch (thrown) {
      if (response.headersSent) response.destroy();
      else call.refuse(thrown);
    }
  }

  return (request, response, settled) => {
    const [path = "", search = ""] = (request.url ?? "").split("?", 2);
    const [, batchJobId] = contactsOfJob.exec(path) ?? [];
    if (batchJobId === undefined || request.method !== "GET") return undefined;
    return answer(batchJobId, search, request, response, settled);
  };
}

/**
 * Writes an answer of ExportContacts as a file; who calls it destroys the response if it throws after the first bytes.
 */
export async function writeFile(
  response: ServerResponse,
  result: Awaited<ReturnType<InvokeMethod>>,
  { batchJobId, unlessOver }: { batchJobId: string; unlessOver: <T>(work: Promise<T>) => Promise<T> },
): Promise<void> {
  if (!result.stream) throw new Error("a download is a stream");
  response.setTimeout(silenceMs, () => response.writableNeedDrain && response.destroy());
  for await (const message of result.message) {
    if (!response.headersSent) response.setHeaders(result.header).writeHead(200, headersOf(batchJobId));
    const { csv } = message as ExportContactsResponse;
    if (!response.write(csv)) await unlessOver(once(response, "drain"));
  }
  response.end();
}

const headersOf = (batchJobId: string) => ({
  "content-type": "text/csv; charset=utf-8; header=present",
  "content-disposition": `attachment; filename="contacts-${batchJobId.replace(/[^\w-]/g, "")}.csv"`,
  // Proxies pass on each piece as it comes, and change nothing.
  "cache-control": "no-store, no-transform",
  "x-accel-buffering": "no",
  "x-content-type-options": "nosniff",
});

async function* toMessages(batchJobId: string, search: string) {
  yield create(ExportContactsRequestSchema, { batchJobId, ...readChoice(new URLSearchParams(search)) });
}

function readChoice(query: URLSearchParams): MessageInitShape<typeof ExportContactsRequestSchema> {
  const given = readQuery(query, ["statuses", "include_attempts"]);
  const { statuses = "", include_attempts: include = "false" } = given;
  if (include !== "true" && include !== "false") {
    throw refuse("include_attempts", "include_attempts must be true or false.");
  }
  return {
    includeAttempts: include === "true",
    statuses: statuses === "" ? [] : statuses.split(",").map(readStatus),
  };
}

const statusWords = new Map(Object.entries(protoContactStatuses));

function readStatus(word: string) {
  const status = statusWords.get(word);
  if (status !== undefined) return status;
  const words = [...statusWords.keys()].join(", ");
  throw refuse("statuses", `statuses must be words out of ${words}, with commas between them.`);
}
