import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type DescMethod, type Message, type MessageInitShape, create } from "@bufbuild/protobuf";
import {
  BatchJobService,
  ExportContactsRequestSchema,
  type ExportContactsResponse,
  ExportRejectedRowsRequestSchema,
  type ExportRejectedRowsResponse,
} from "../../gen/callsheet/v1/batch_job_service_pb.ts";
import type { CallsInHand } from "../calls/calls-in-hand.ts";
import { protoContactStatuses } from "../convert/convert.ts";
import type { InvokeMethod } from "../calls/invoke.ts";
import type { ListenerOptions } from "../listener.ts";
import { invokerOf, openPlainCall } from "./plain-call.ts";
import { readQuery, refuse } from "./query.ts";
import { sendText } from "./pages/pages.ts";
import { type Answerer, patternOf } from "./paths.ts";
import { contactsOfJob, isUpload } from "./upload.ts";

/** A client that has taken nothing for so long hears no more; its export has been broken off before. */
const silenceMs = 60_000;

/** A path at which a file is had, as a call of a method that streams it. */
type Download = {
  readonly path: string;
  readonly method: DescMethod;
  /** The request; of the path it has what its parts are. */
  readonly read: (picked: readonly string[], query: URLSearchParams) => Message;
  readonly fileName: (picked: readonly string[]) => string;
};

const plain = (id = ""): string => id.replace(/[^\w-]/g, "");

/** What a file of a job's contacts is called. */
export const contactsFileName = (batchJobId = ""): string => `contacts-${plain(batchJobId)}.csv`;

const downloads: readonly Download[] = [
  {
    path: contactsOfJob,
    method: BatchJobService.method.exportContacts,
    read: ([batchJobId = ""], query) =>
      create(ExportContactsRequestSchema, { batchJobId, ...readChoice(query) }),
    fileName: ([batchJobId]) => contactsFileName(batchJobId),
  },
  {
    path: "/batch-jobs/{batch_job_id}/imports/{import_id}/rejected.csv",
    method: BatchJobService.method.exportRejectedRows,
    read([batchJobId = "", importId = ""], query) {
      readQuery(query, []);
      return create(ExportRejectedRowsRequestSchema, { batchJobId, importId });
    },
    fileName: ([, importId]) => `rejected-${plain(importId)}.csv`,
  },
];

/**
 * Files that are taken with GET as calls of the methods that stream them, with their checks. One that breaks off ends
 * with its connection, so that nobody takes it for a whole one.
 */
export function createDownloads(options: ListenerOptions, calls: CallsInHand): Answerer {
  const served = downloads.flatMap((download) => {
    const invoke = invokerOf(download.method, options, calls);
    return invoke === undefined ? [] : [{ ...download, pattern: patternOf(download.path), invoke }];
  });

  async function answer(
    { method, read, invoke, fileName }: (typeof served)[number],
    { picked, search }: { picked: readonly string[]; search: string },
    request: IncomingMessage,
    response: ServerResponse,
    settled: () => void,
  ) {
    const call = openPlainCall(method, request, response, { options, calls, settled });
    async function* messages() {
      yield read(picked, new URLSearchParams(search));
    }
    try {
      await call.enter();
      const result = await call.unlessOver(invoke(call.context, messages()));
      await writeFile(response, result, { fileName: fileName(picked), unlessOver: call.unlessOver });
    } catch (thrown) {
      if (response.headersSent) response.destroy();
      else call.refuse(thrown);
    }
  }

  return {
    paths: served.map(({ path, method }) => ({ method: "GET", path, rpc: method })),
    answer(request, response, settled) {
      const [path = "", search = ""] = (request.url ?? "").split("?", 2);
      for (const download of served) {
        const [, ...picked] = download.pattern.exec(path) ?? [];
        if (picked.length === 0) continue;
        if (request.method === "GET") return answer(download, { picked, search }, request, response, settled);
        if (isUpload(request)) return undefined;
        response.setHeader("allow", "GET");
        sendText(response, 405, "Take the file from here with GET.");
        return Promise.resolve();
      }
      return undefined;
    },
  };
}

/**
 * Writes the answer of a method that streams a file; who calls it destroys the response if it throws after the first
 * bytes.
 */
export async function writeFile(
  response: ServerResponse,
  result: Awaited<ReturnType<InvokeMethod>>,
  { fileName, unlessOver }: { fileName: string; unlessOver: <T>(work: Promise<T>) => Promise<T> },
): Promise<void> {
  if (!result.stream) throw new Error("a download is a stream");
  response.setTimeout(silenceMs, () => response.writableNeedDrain && response.destroy());
  for await (const message of result.message) {
    if (!response.headersSent) response.setHeaders(result.header).writeHead(200, headersOf(fileName));
    const { csv } = message as ExportContactsResponse | ExportRejectedRowsResponse;
    if (!response.write(csv)) await unlessOver(once(response, "drain"));
  }
  response.end();
}

const headersOf = (fileName: string) => ({
  "content-type": "text/csv; charset=utf-8; header=present",
  "content-disposition": `attachment; filename="${fileName}"`,
  // Proxies pass on each piece as it comes, and change nothing.
  "cache-control": "no-store, no-transform",
  "x-accel-buffering": "no",
  "x-content-type-options": "nosniff",
});

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
