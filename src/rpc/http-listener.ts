import { createServer, type ServerResponse } from "node:http";
import { createCallsInHand } from "./calls-in-hand.ts";
import { answerPage, sendText, type Pages } from "./http-pages.ts";
import { answerRpc, createRpcs } from "./http-rpcs.ts";
import { listen, type Listener, type ListenerOptions } from "./listener.ts";

export type HttpListenerOptions = ListenerOptions & { pages: Pages };

/** Serves the table as Connect and gRPC-Web, and pages beside it, over HTTP/1.1 without TLS. */
export async function startHttpListener(options: HttpListenerOptions): Promise<Listener> {
  const calls = createCallsInHand();
  const rpcs = createRpcs(options, calls);
  const pages = new Map(Object.entries(options.pages));

  const server = createServer((request, response) => {
    response.once("close", calls.begin());
    // What is left of a body that nobody wanted.
    response.once("finish", () => request.resume());
    if (!server.listening) response.setHeader("connection", "close");
    const path = request.url?.split("?", 1)[0] ?? "";
    const rpc = rpcs.get(path);
    const answered = rpc ? answerRpc(rpc, request, response) : answerPage(pages.get(path), request, response);
    answered.catch(() => giveUp(response));
  });
  const port = await listen(server, options);

  async function stop(graceMs: number): Promise<void> {
    const closed = new Promise((resolve) => server.close(resolve));
    await calls.finish(graceMs);
    server.closeAllConnections();
    await closed;
  }
  let stopped: Promise<void> | undefined;
  return { port, stop: (graceMs) => (stopped ??= stop(graceMs)) };
}

/** Leaves no client waiting. */
function giveUp(response: ServerResponse): void {
  if (response.headersSent) response.destroy();
  else sendText(response, 500, "internal error");
}
