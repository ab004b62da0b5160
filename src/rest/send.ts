import type { ServerResponse } from "node:http";
import type { Hold } from "../rpc/requests/bytes-in-hand.ts";
import type { Failure } from "./errors.ts";
import type { Answered } from "./route.ts";

/** Throws, with nothing sent, if the answer is more than can be held until its client has read it. */
export function sendAnswer(
  response: ServerResponse,
  { body, revision }: Answered,
  { header, hold }: { header: Headers; hold: Hold },
): void {
  const bytes = toBytes(body);
  hold.set(bytes.length);
  response.setHeaders(header);
  if (revision !== undefined) response.setHeader("etag", `"${revision}"`);
  sendJson(response, 200, bytes);
}

export function sendFailure(
  response: ServerResponse,
  { status, headers, body }: Failure,
  more = new Headers(),
): void {
  if (response.headersSent) return void response.destroy();
  response.setHeaders(more);
  response.setHeaders(new Headers(headers));
  sendJson(response, status, toBytes(body));
}

const toBytes = (body: object): Buffer => Buffer.from(JSON.stringify(body));

/** Node leaves the body out where a HEAD was asked. */
function sendJson(response: ServerResponse, status: number, bytes: Buffer): void {
  response.writeHead(status, { "content-type": "application/json", "content-length": bytes.length });
  response.end(bytes);
}
