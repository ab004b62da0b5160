import type { IncomingMessage, ServerResponse } from "node:http";

/** What is to be seen at one path. */
export type Page = { status?: number; headers?: Record<string, string>; body: string | Uint8Array };

/** Exact paths, without a query, to what makes their page; GET and HEAD only. */
export type Pages = Record<string, (request: IncomingMessage) => Page | Promise<Page>>;

const plain = { "content-type": "text/plain; charset=utf-8" };

/** Sends the page that `make` makes; undefined means that there is none at this path. */
export async function answerPage(
  make: Pages[string] | undefined,
  request: IncomingMessage,
  response: ServerResponse,
) {
  if (!make) return sendText(response, 404, "There is nothing at this path.");
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    return sendText(response, 405, "This page can only be read.");
  }
  const { status = 200, headers = {}, body } = await make(request);
  response.writeHead(status, { ...plain, "content-length": Buffer.byteLength(body), ...headers });
  response.end(request.method === "HEAD" ? undefined : body);
}

/** Sends one sentence as a whole answer. */
export function sendText(response: ServerResponse, status: number, sentence: string): void {
  response.writeHead(status, plain).end(`${sentence}\n`);
}
