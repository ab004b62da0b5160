import type { IncomingMessage, ServerResponse } from "node:http";
import { type DescMessage, type DescMethod, type Message, create, toJson } from "@bufbuild/protobuf";
import { BatchJobService, ImportContactsRequestSchema } from "../../gen/callsheet/v1/batch_job_service_pb.ts";
import {
  ImportSuppressedPhonesRequestSchema,
  SuppressionService,
} from "../../gen/callsheet/v1/suppression_service_pb.ts";
import type { CallsInHand } from "../calls/calls-in-hand.ts";
import type { InvokeMethod } from "../calls/invoke.ts";
import { cutOff } from "./over-http2.ts";
import { sendText } from "./pages/pages.ts";
import { type Answerer, pathOf, patternOf } from "./paths.ts";
import { clientLeft } from "../calls/last-resort.ts";
import type { ListenerOptions } from "../listener.ts";
import { invokerOf, openPlainCall } from "./plain-call.ts";
import { readQuery, refuse } from "./query.ts";

export const contactsOfJob = "/batch-jobs/{batch_job_id}/contacts.csv";

const jsonOptions = { alwaysEmitImplicit: true };

/** Who was refused while he still sends has this long to see why. */
const farewellMs = 2_000;

type FilePart =
  | { readonly case: "csv"; readonly value: Uint8Array }
  | { readonly case: "end"; readonly value: { readonly totalBytes: bigint } };

/** A path that a file is sent to, as a call of a method that takes it as a stream. */
type Upload = {
  readonly path: string;
  readonly method: DescMethod;
  /** The first message of the stream; of the path it has what its part is. */
  readonly begin: (picked: string, query: URLSearchParams) => Message;
  readonly goOn: (part: FilePart) => Message;
  readonly allow: string;
  /** To whoever does not send a file. */
  readonly advice: string;
};

type Served = Upload & { readonly pattern: RegExp; readonly invoke: InvokeMethod };

const importNames = [
  "request_id",
  "expected_revision",
  "default_region",
  "encoding",
  "delimiter",
  "phone_column",
];

const uploads: readonly Upload[] = [
  {
    path: contactsOfJob,
    method: BatchJobService.method.importContacts,
    begin(batchJobId, query) {
      const {
        request_id: requestId = "",
        expected_revision: revision,
        default_region: defaultRegion = "",
        encoding = "",
        delimiter = "",
        phone_column: phoneColumn = "",
      } = readQuery(query, importNames);
      const expectedRevision = revision === undefined ? {} : { expectedRevision: readRevision(revision) };
      const options = { defaultRegion, encoding, delimiter, phoneColumn };
      const value = { batchJobId, requestId, ...options, ...expectedRevision };
      return create(ImportContactsRequestSchema, { part: { case: "header", value } });
    },
    goOn: (part) => create(ImportContactsRequestSchema, { part }),
    allow: "GET, POST",
    advice: "Send a CSV file here with POST, or take one with GET.",
  },
  {
    path: "/suppressed-phones.csv",
    method: SuppressionService.method.importSuppressedPhones,
    begin(_, query) {
      const { request_id: requestId = "", reason = "" } = readQuery(query, ["request_id", "reason"]);
      return create(ImportSuppressedPhonesRequestSchema, {
        part: { case: "header", value: { requestId, reason } },
      });
    },
    goOn: (part) => create(ImportSuppressedPhonesRequestSchema, { part }),
    allow: "POST",
    advice: "Send a CSV file here with POST; ListSuppressedPhones shows what is on the list.",
  },
];

const patterns = uploads.map(({ path }) => patternOf(path));

export const isUpload = (request: IncomingMessage): boolean =>
  patterns.some((pattern) => pattern.test(pathOf(request)));

/**
 * Files that are sent with POST as calls of the methods that take them, with their checks and their answers. Errors are
 * as Connect writes them.
 */
export function createUploads(options: ListenerOptions, calls: CallsInHand): Answerer {
  const served = uploads.flatMap((upload) => {
    const invoke = invokerOf(upload.method, options, calls);
    return invoke === undefined ? [] : [{ ...upload, pattern: patternOf(upload.path), invoke }];
  });

  async function answer(
    upload: Served,
    request: IncomingMessage,
    response: ServerResponse,
    settled: () => void,
  ) {
    const { method, invoke } = upload;
    const call = openPlainCall(method, request, response, { options, calls, settled });
    try {
      await call.enter();
      const result = await invoke(call.context, toMessages(upload, request, response));
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

  return {
    paths: served.map(({ path, method }) => ({ method: "POST", path, rpc: method })),
    answer(request, response, settled) {
      const upload = served.find(({ pattern }) => pattern.test(pathOf(request)));
      if (upload === undefined) return undefined;
      if (request.method === "POST") return answer(upload, request, response, settled);
      response.setHeader("allow", upload.allow);
      sendText(response, 405, upload.advice);
      return Promise.resolve();
    },
  };
}

/** The request as the stream that the method takes. It throws unless the whole body came. */
async function* toMessages(upload: Served, request: IncomingMessage, response: ServerResponse) {
  const [path = "", search = ""] = (request.url ?? "").split("?", 2);
  yield upload.begin(upload.pattern.exec(path)?.[1] ?? "", new URLSearchParams(search));
  if (request.headers.expect !== undefined) response.writeContinue();
  let total = 0;
  for await (const csv of whileItsClientStays(request)) {
    total += csv.length;
    yield upload.goOn({ case: "csv", value: csv });
  }
  // A body that broke off may look as if it had ended. HTTP/1.1 tells whether it had; else its length must be given.
  const isWhole =
    request.httpVersionMajor === 1 ? request.complete : Number(request.headers["content-length"]) === total;
  if (!isWhole)
    throw refuse("content-length", "The file broke off, or its length was not given. Send it again.");
  yield upload.goOn({ case: "end", value: { totalBytes: BigInt(total) } });
}

/** Node calls a client that has left ECONNRESET, which is what a lost Postgres is called too. */
async function* whileItsClientStays(request: IncomingMessage): AsyncIterable<Uint8Array> {
  try {
    yield* request.iterator({ destroyOnReturn: false });
  } catch {
    throw clientLeft();
  }
}

function readRevision(revision: string): bigint {
  if (!/^\d{1,18}$/.test(revision))
    throw refuse("expected_revision", "expected_revision must be a whole number.");
  return BigInt(revision);
}
