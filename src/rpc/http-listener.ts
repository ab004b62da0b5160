import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import { setImmediate } from "node:timers/promises";
import { createCallsInHand } from "./calls-in-hand.ts";
import { answerPage, sendText, type Pages } from "./http-pages.ts";
import { answerRpc, createRpcs } from "./http-rpcs.ts";
import { cannotListen, type Listener, type ListenerOptions } from "./listener.ts";

export type HttpListenerOptions = ListenerOptions & { pages: Pages };

/** Serves the table as Connect and gRPC-Web, and pages beside it, over HTTP/1.1 without TLS. */
export async function startHttpListener(options: HttpListenerOptions): Promise<Listener> {
  const calls = createCallsInHand();
  const rpcs = createRpcs(options, calls);
  const pages = new Map(Object.entries(options.pages));
  const unanswered = new Set<ServerResponse>();
  let stopping = false;

  const server = createServer((request, response) => {
    unanswered.add(response);
    if (stopping) response.setHeader("connection", "close");
    // What is left of a body that nobody wanted.
    response.once("finish", () => request.resume());
    response.once("close", () => {
      unanswered.delete(response);
      if (stopping) closeUnused();
    });
    const path = request.url?.split("?", 1)[0] ?? "";
    const rpc = rpcs.get(path);
    const answered = rpc ? answerRpc(rpc, request, response) : answerPage(pages.get(path), request, response);
    answered.catch(() => giveUp(response));
  });
  const closeUnused = () =>
    unanswered.size === 0 ? server.closeAllConnections() : server.closeIdleConnections();
  const port = await listen(server, options);

  async function stop(graceMs: number): Promise<void> {
    stopping = true;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const response of unanswered) if (!response.headersSent) response.setHeader("connection", "close");
    closeUnused();
    if (await calls.finish(closed, graceMs)) return;
    // One turn of the loop, for the answers to leave.
    await setImmediate();
    server.closeAllConnections();
    await closed;
  }
  let stopped: Promise<void> | undefined;
  return { port, stop: (graceMs) => (stopped ??= stop(graceMs)) };
}

async function listen(server: Server, { host, port }: ListenerOptions): Promise<number> {
  try {
    await once(server.listen({ host, port }), "listening");
  } catch (cause) {
    throw cannotListen(host, port, cause);
  }
  const address = server.address();
  return address && typeof address === "object" ? address.port : port;
}

/** Leaves no client waiting. */
function giveUp(response: ServerResponse): void {
  if (response.headersSent) response.destroy();
  else sendText(response, 500, "internal error");
}
