import type { IncomingMessage, ServerResponse } from "node:http";
import type { HandlerContext } from "@connectrpc/connect";
import { callerOf } from "../rpc/gate/gate.ts";
import { readCall } from "../rpc/http/request.ts";
import type { Hold } from "../rpc/requests/bytes-in-hand.ts";
import type { Turn } from "../rpc/requests/decode.ts";
import { requestLimits } from "../rpc/requests/limits.ts";
import { type Failure, failure } from "./errors.ts";
import { checkOrganization, refuse } from "./input.ts";
import type { Given, Route } from "./route.ts";

/** A key may also come as x-api-key. */
export function authorizationOf({ headers }: IncomingMessage): string {
  const { authorization, "x-api-key": key } = headers;
  return authorization ?? (typeof key === "string" ? `Bearer ${key}` : "");
}

/** What is wrong with the type of the body, before anything of it is read. */
export function wrongType({ method, bodies }: Route, { headers }: IncomingMessage): Failure | undefined {
  if (method === "GET") return undefined;
  const encoding = headers["content-encoding"] ?? "identity";
  if (!["identity", "gzip"].includes(encoding.toLowerCase())) {
    return failure(415, "unsupported_media_type", "Send the body as it is, or compressed with gzip.", {
      headers: { "accept-encoding": "gzip" },
    });
  }
  if (bodies.length === 0) return undefined;
  const type = (headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase();
  const types = bodies.map((body) => body.type);
  if (types.some((each) => each === type)) return undefined;
  return failure(415, "unsupported_media_type", `Send the body as ${types.join(" or ")}.`, {
    headers: { "accept-post": types.join(", ") },
  });
}

type Reading = {
  readonly row: Route;
  readonly batchJobId: string;
  readonly context: HandlerContext;
  readonly turn: Turn;
  readonly hold: Hold;
};

/** Reads a request whose caller is known, within the limits of its RPC. */
export async function readRequest(
  request: IncomingMessage,
  response: ServerResponse,
  { row, batchJobId, context, hold, turn }: Reading,
): Promise<Given> {
  if (request.headers.expect !== undefined) response.writeContinue();
  const bytes = row.method === "GET" ? new Uint8Array() : await readBody();
  const isEmpty = /^\s*(?:\{\s*\})?\s*$/.test(Buffer.from(bytes).toString("latin1"));
  if (row.bodies.length === 0 && !isEmpty)
    throw refuse("", "Nothing is to be sent in the body here; leave it empty.");
  return {
    batchJobId,
    ...readHeaders(request),
    query: readQuery(request, callerOf(context).organizationId),
    contentType: request.headers["content-type"] ?? "",
    bytes,
  };

  async function readBody(): Promise<Uint8Array> {
    const usual = requestLimits(row.rpc);
    const limits = { ...usual, maxBytes: row.maxBytes ?? usual.maxBytes };
    const prepare = async (body: Uint8Array) => {
      (await turn(body.length))();
      return body;
    };
    const call = readCall(request, response, { limits, values: context.values, hold, turn, prepare });
    if (call === undefined) throw refuse("", "The Host header is not valid.");
    const chunks: Uint8Array[] = [];
    for await (const chunk of call.body) chunks.push(chunk);
    return Buffer.concat(chunks);
  }
}

/** An unescaped plus is a plus, and no blank. Whose the jobs are may be said, if it is true. */
function readQuery({ url = "" }: IncomingMessage, organizationId: number): [string, string][] {
  const search = url.includes("?") ? url.slice(url.indexOf("?") + 1) : "";
  const pairs = [...new URLSearchParams(search.replaceAll("+", "%2B"))];
  return pairs.filter(([key, value]) => {
    if (key !== "organizationId") return true;
    checkOrganization(value, organizationId);
    return false;
  });
}

function readHeaders({ headers }: IncomingMessage): Pick<Given, "requestId" | "expectedRevision"> {
  const { "idempotency-key": requestId = "", "if-match": match = "*" } = headers;
  const [, revision] = /^"(\d{1,18})"$/.exec(match.trim()) ?? [];
  if (revision === undefined && match.trim() !== "*")
    throw refuse("If-Match", 'If-Match must be one revision in quotes, such as "7".');
  return {
    requestId: String(requestId),
    expectedRevision: revision === undefined ? undefined : BigInt(revision),
  };
}
