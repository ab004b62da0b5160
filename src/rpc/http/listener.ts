import type { IncomingMessage, ServerResponse } from "node:http";
import { createCallsInHand } from "../calls/calls-in-hand.ts";
import { answerPage, sendText, type Page, type Pages } from "./pages/pages.ts";
import { withoutBasePath } from "./pages/base-path.ts";
import { answerRpc, createRpcs, pathsOf } from "./call.ts";
import { createLateEnds } from "../calls/late-ends.ts";
import { createOrder } from "./in-order.ts";
import { createSessions, readSession, sessionPath } from "./pages/console-session.ts";
import { isView, views } from "./pages/console-pages.ts";
import { createCors } from "./pages/cors.ts";
import { createDownloads } from "./download.ts";
import { createStrangers, wantedOf, type Wanted } from "../gate/strangers.ts";
import { createUploads, isUpload } from "./upload.ts";
import type { OpenDoor } from "./pages/door.ts";
import { connectionOf, onceWritten } from "./over-http2.ts";
import { createRests } from "./rests.ts";
import { pathOf, patternOf, type ServedPath } from "./paths.ts";
import { createHttpServer } from "./server.ts";
import { findAddressThrough } from "../gate/caller-address.ts";
import { listen, type Listener, type ListenerOptions } from "../listener.ts";

export type HttpListenerOptions = ListenerOptions & {
  pages: Pages;
  /** What is served beside the RPCs. */
  door?: OpenDoor;
  /** How long a file may take to arrive. */
  uploadTimeoutMs?: number;
  /** How long a connection stays open that has nothing to do; 5 s if not given. */
  keepAliveMs?: number;
  /** Pages of these origins may call. */
  corsOrigins?: readonly string[];
  /** What all paths begin with, as `/callsheet`; nothing if not given. */
  basePath?: string;
};

export type HttpListener = Listener & {
  /** All that it answers, but for other methods than there are, and the further parts of the console's views. */
  readonly paths: readonly ServedPath[];
};

const usualKeepAliveMs = 5_000;

/**
 * Serves the table as Connect and gRPC-Web, and pages beside it, over HTTP/1.1; with certificates over TLS, and HTTP/2
 * too.
 */
export async function startHttpListener(options: HttpListenerOptions): Promise<HttpListener> {
  const { strangers = createStrangers(), findAddress = findAddressThrough(undefined) } = options;
  const { basePath = "", corsOrigins = [] } = options;
  const calls = createCallsInHand();
  const rpcs = createRpcs(options, calls);
  const answerers = [createDownloads, createUploads, createSessions]
    .map((create) => create(options, calls))
    .map((answerer) => ({ ...answerer, patterns: answerer.paths.map(({ path }) => patternOf(path)) }));
  const door = options.door?.(calls);
  const pages = new Map(Object.entries({ ...options.pages, "": () => movedTo(`${basePath}/`) }));
  const withinBase = withoutBasePath(basePath);
  const cors = createCors(corsOrigins);

  const lateEnds = createLateEnds({ isInUse: strangers.isInUse });
  const order = createOrder(lateEnds);
  const readAway = createRests();

  function receive(request: IncomingMessage, response: ServerResponse): void {
    if (order.isOver(request.socket)) return;
    // Nobody listens to a request that waits, or that was answered, when its client goes.
    request.on("error", () => {});
    response.once("close", calls.begin());
    request.url = withinBase(request.url ?? "");
    readSession(request);
    order.take(request, response, () => admit(request, response));
  }

  function admit(request: IncomingMessage, response: ServerResponse): void {
    const { socket, headers } = request;
    const { key: connection, address: peer, turnAway } = connectionOf(request, lateEnds);
    const rpc = rpcs.get(pathOf(request));
    const isForDoor = door?.takes(pathOf(request)) === true;
    strangers.admit({
      authorization: isForDoor ? door.authorizationOf(request) : headers.authorization,
      wanted: cors.isPreflight(request)
        ? "other"
        : rpc === undefined
          ? wantedBeside(request, isForDoor)
          : wantedOf(rpc.handler.method),
      connection,
      ...findAddress(peer, headers),
      begin(settled) {
        if (response.destroyed || socket.destroyed) return settled();
        response.once("close", settled);
        answer(request, response, settled);
      },
      turnAway,
    });
  }

  function answer(request: IncomingMessage, response: ServerResponse, settled: () => void): void {
    // What is left of a body that nobody wanted.
    onceWritten(request, response, () => readAway(request));
    // Answers are about people; what may be kept says so itself.
    response.setHeader("cache-control", "no-store");
    if (!server.listening || isAged(request)) response.setHeader("connection", "close");
    const path = pathOf(request);
    const rpc = rpcs.get(path);
    // Where there is nothing, a page is to be told so: it may be newer than this replica.
    if (!pages.has(path) && path !== sessionPath) {
      cors.mark(request, response);
      if (cors.isPreflight(request)) return cors.answerPreflight(response);
    }
    const answered = rpc
      ? answerRpc(rpc, request, response, settled)
      : door?.takes(path) === true
        ? door.answer(request, response, settled)
        : (answerBeside(request, response, settled) ??
          answerPage(pages.get(isView(path) ? "/" : path), request, response));
    answered.catch(() => giveUp(response));
  }

  /** Has it answered by who lists the path. */
  function answerBeside(request: IncomingMessage, response: ServerResponse, settled: () => void) {
    for (const { patterns, answer: answerIt } of answerers) {
      const isListed = patterns.some((pattern) => pattern.test(pathOf(request)));
      const answered = isListed ? answerIt(request, response, settled) : undefined;
      if (answered !== undefined) return answered;
    }
    return undefined;
  }

  // The calls have times of their own to arrive in, and only a file takes this long.
  const { uploadTimeoutMs: requestTimeout = 300_000, keepAliveMs } = options;
  const keepAliveTimeout = keepAliveMs || usualKeepAliveMs;
  const { certificates, connectionMaxAgeMs = Infinity } = options;
  const timeouts = { requestTimeout, keepAliveTimeout, connectionMaxAgeMs };
  const { server, isAged, closeAllConnections } = createHttpServer({ certificates, ...timeouts }, receive);
  // Clients with a large file ask before they send it; an upload says yes once it is known to be welcome.
  server.on("checkContinue", (request, response) => {
    if (!isUpload(request) && door?.takes(pathOf(request)) !== true) response.writeContinue();
    receive(request, response);
  });
  const port = await listen(server, options, "PORT");

  async function stop(graceMs: number): Promise<void> {
    const closed = new Promise((resolve) => server.close(resolve));
    await calls.finish(graceMs);
    lateEnds[Symbol.dispose]();
    closeAllConnections();
    await closed;
  }
  let stopped: Promise<void> | undefined;
  return {
    port,
    paths: [
      ...[...rpcs.values()].flatMap(pathsOf),
      ...(door?.paths ?? []),
      ...answerers.flatMap((answerer) => answerer.paths),
      ...[...Object.keys(options.pages), ...views].flatMap((path) =>
        ["GET", "HEAD"].map((method) => ({ method, path })),
      ),
    ],
    stop: (graceMs) => (stopped ??= stop(graceMs)),
  };
}

const watchedPages: ReadonlyMap<string, Wanted> = new Map([
  ["/healthz", "health"],
  ["/readyz", "health"],
  ["/metrics", "metrics"],
]);

const movedTo = (location: string): Page => ({ status: 308, headers: { location }, body: `${location}\n` });

/** What is asked for by a request that is no call of an RPC. */
const wantedBeside = (request: IncomingMessage, isForDoor: boolean): Wanted =>
  isForDoor || isUpload(request) || pathOf(request) === sessionPath
    ? "work"
    : (watchedPages.get(pathOf(request)) ?? "other");

/** Leaves no client waiting. */
function giveUp(response: ServerResponse): void {
  if (response.headersSent) response.destroy();
  else sendText(response, 500, "internal error");
}
