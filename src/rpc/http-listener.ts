import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { jittered } from "../loop.ts";
import { createCallsInHand } from "./calls-in-hand.ts";
import { answerPage, sendText, type Pages } from "./http-pages.ts";
import { answerRpc, createRpcs } from "./http-rpcs.ts";
import { createUploads, isUpload } from "./http-upload.ts";
import { listen, type Listener, type ListenerOptions } from "./listener.ts";

export type HttpListenerOptions = ListenerOptions & {
  pages: Pages;
  /** How long a request may take to arrive: what a large file may need. */
  uploadTimeoutMs?: number;
};

/** Every request has at least this long to arrive. */
const requestTimeoutMs = 300_000;

/** Serves the table as Connect and gRPC-Web, and pages beside it, over HTTP/1.1 without TLS. */
export async function startHttpListener(options: HttpListenerOptions): Promise<Listener> {
  const calls = createCallsInHand();
  const rpcs = createRpcs(options, calls);
  const answerUpload = createUploads(options, calls);
  const pages = new Map(Object.entries(options.pages));

  const agesAtMs = new WeakMap<Socket, number>();
  const isAged = ({ socket }: IncomingMessage) => (agesAtMs.get(socket) ?? Infinity) <= performance.now();

  function answer(request: IncomingMessage, response: ServerResponse): void {
    response.once("close", calls.begin());
    // What is left of a body that nobody wanted.
    response.once("finish", () => request.resume());
    if (!server.listening || isAged(request)) response.setHeader("connection", "close");
    const path = request.url?.split("?", 1)[0] ?? "";
    const rpc = rpcs.get(path);
    const answered = rpc
      ? answerRpc(rpc, request, response)
      : (answerUpload(request, response) ?? answerPage(pages.get(path), request, response));
    answered.catch(() => giveUp(response));
  }

  const requestTimeout = Math.max(requestTimeoutMs, options.uploadTimeoutMs ?? 0);
  const server = createServer({ requestTimeout }, answer);
  const { connectionMaxAgeMs = Infinity } = options;
  server.on("connection", (socket: Socket) =>
    agesAtMs.set(socket, performance.now() + jittered(connectionMaxAgeMs)),
  );
  // Clients with a large file ask before they send it; an upload says yes once it is known to be welcome.
  server.on("checkContinue", (request, response) => {
    if (!isUpload(request)) response.writeContinue();
    answer(request, response);
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
