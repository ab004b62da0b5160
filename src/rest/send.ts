import type { ServerResponse } from "node:http";
import type { Failure } from "./errors.ts";
import type { Answered } from "./route.ts";

export function sendAnswer(response: ServerResponse, { body, revision }: Answered, header: Headers): void {
  response.setHeaders(header);
  if (revision !== undefined) response.setHeader("etag", `"${revision}"`);
  sendJson(response, 200, body);
}

export function sendFailure(
  response: ServerResponse,
  { status, headers, body }: Failure,
  more = new Headers(),
): void {
  if (response.headersSent) return void response.destroy();
  response.setHeaders(more);
  response.setHeaders(new Headers(headers));
  sendJson(response, status, body);
}

/** Node leaves the body out where a HEAD was asked. */
function sendJson(response: ServerResponse, status: number, body: object): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, { "content-type": "application/json", "content-length": bytes.length });
  response.end(bytes);
}
