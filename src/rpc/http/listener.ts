import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { jittered } from "../../timing/loop.ts";
import { createCallsInHand } from "../calls-in-hand.ts";
import { answerPage, sendText, type Pages } from "./pages.ts";
import { answerRpc, createRpcs } from "./call.ts";
import { createOrder } from "./in-order.ts";
import { createDownloads } from "./download.ts";
import { createStrangers, wantedOf, type Wanted } from "../strangers.ts";
import { createUploads, isUpload } from "./upload.ts";
import type { OpenDoor } from "./door.ts";
import { listen, type Listener, type ListenerOptions } from "../listener.ts";

export type HttpListenerOptions = ListenerOptions & {
  pages: Pages;
  /** What is served beside the RPCs. */
  door?: OpenDoor;
  /** How long a file may take to arrive. */
  uploadTimeoutMs?: number;
  /** How long a connection stays open that has nothing to do; 5 s if not given. */
  keepAliveMs?: number;
};

/** A client that was answered while it still sends has this long to see why. */
const farewellMs = 10_000;

/** Serves the table as Connect and gRPC-Web, and pages beside it, over HTTP/1.1 without TLS. */
export async function startHttpListener(options: HttpListenerOptions): Promise<Listener> {
  const { strangers = createStrangers() } = options;
  const calls = createCallsInHand();
  const rpcs = createRpcs(options, calls);
  const answerDownload = createDownloads(options, calls);
  const answerUpload = createUploads(options, calls);
  const door = options.door?.(calls);
  const pages = new Map(Object.entries(options.pages));

  const agesAtMs = new WeakMap<Socket, number>();
  const isAged = ({ socket }: IncomingMessage) => (agesAtMs.get(socket) ?? Infinity) <= performance.now();

  const inOrder = createOrder();

  function receive(request: IncomingMessage, response: ServerResponse): void {
    // Nobody listens to a request that waits, or that was answered, when its client goes.
    request.on("error", () => {});
    response.once("close", calls.begin());
    inOrder(request, response, () => admit(request, response));
  }

  function admit(request: IncomingMessage, response: ServerResponse): void {
    const { socket, headers } = request;
    const rpc = rpcs.get(pathOf(request));
    const isForDoor = door?.takes(pathOf(request)) === true;
    strangers.admit({
      authorization: isForDoor ? door.authorizationOf(request) : headers.authorization,
      wanted: rpc === undefined ? wantedBeside(request, isForDoor) : wantedOf(rpc.handler.method),
      connection: socket,
      address: socket.remoteAddress,
      begin(settled) {
        if (response.destroyed || socket.destroyed) return settled();
        response.once("close", settled);
        answer(request, response, settled);
      },
      turnAway: () => socket.destroy(),
    });
  }

  function answer(request: IncomingMessage, response: ServerResponse, settled: () => void): void {
    // What is left of a body that nobody wanted.
    response.once("finish", () => {
      request.resume();
      if (!request.complete) setTimeout(() => request.complete || request.destroy(), farewellMs).unref();
    });
    // Answers are about people; what may be kept says so itself.
    response.setHeader("cache-control", "no-store");
    if (!server.listening || isAged(request)) response.setHeader("connection", "close");
    const path = pathOf(request);
    const rpc = rpcs.get(path);
    const answered = rpc
      ? answerRpc(rpc, request, response, settled)
      : door?.takes(path) === true
        ? door.answer(request, response, settled)
        : (answerDownload(request, response, settled) ??
          answerUpload(request, response, settled) ??
          answerPage(pages.get(path), request, response));
    answered.catch(() => giveUp(response));
  }

  // The calls have times of their own to arrive in, and only a file takes this long.
  const { uploadTimeoutMs: requestTimeout = 300_000, keepAliveMs: keepAliveTimeout } = options;
  const server = createServer({ requestTimeout, ...(keepAliveTimeout && { keepAliveTimeout }) }, receive);
  const { connectionMaxAgeMs = Infinity } = options;
  server.on("connection", (socket: Socket) =>
    agesAtMs.set(socket, performance.now() + jittered(connectionMaxAgeMs)),
  );
  // Clients with a large file ask before they send it; an upload says yes once it is known to be welcome.
  server.on("checkContinue", (request, response) => {
    if (!isUpload(request) && door?.takes(pathOf(request)) !== true) response.writeContinue();
    receive(request, response);
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

const pathOf = (request: IncomingMessage): string => request.url?.split("?", 1)[0] ?? "";

const watchedPages: ReadonlyMap<string, Wanted> = new Map([
  ["/healthz", "health"],
  ["/readyz", "health"],
  ["/metrics", "metrics"],
]);

/** What is asked for by a request that is no call of an RPC. */
const wantedBeside = (request: IncomingMessage, isForDoor: boolean): Wanted =>
  isForDoor || isUpload(request) ? "work" : (watchedPages.get(pathOf(request)) ?? "other");

/** Leaves no client waiting. */
function giveUp(response: ServerResponse): void {
  if (response.headersSent) response.destroy();
  else sendText(response, 500, "internal error");
}
