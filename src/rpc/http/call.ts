import type { IncomingMessage, ServerResponse } from "node:http";
import {
  ConnectError,
  createConnectRouter,
  createContextKey,
  createContextValues,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import { compressionGzip } from "@connectrpc/connect-node";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { type BytesInHand, createBytesInHand, heapShare } from "../requests/bytes-in-hand.ts";
import type { CallsInHand } from "../calls/calls-in-hand.ts";
import { deliveryOf } from "../calls/delivery.ts";
import { idempotencyKey } from "./idempotency-key.ts";
import { maybeCallerOf, needsKey } from "../gate/gate.ts";
import { sendText } from "./pages/pages.ts";
import { hasLeft } from "./over-http2.ts";
import type { ServedPath } from "./paths.ts";
import { retryAfter, withRetryAfter } from "./retry-after.ts";
import { decodeFirst, readCall, withDecoded } from "./request.ts";
import { answerInTime } from "./in-time.ts";
import { maxMessageBytes, type ListenerOptions } from "../listener.ts";
import type { Refused } from "../gate/refusals.ts";
import { type LargeTurns, createLargeTurns } from "../requests/large-turns.ts";
import { longestTimeoutMs, requestLimits, type RequestLimits } from "../requests/limits.ts";
import { settledKey, settling } from "../gate/strangers.ts";
import { blameCaller } from "../calls/undecodable.ts";
import { isWebText, toWebText, webTextType } from "./web-text.ts";
import { writeAnswer } from "./write-answer.ts";

export type Rpc = {
  readonly handler: UniversalHandler;
  readonly limits: RequestLimits;
  readonly bytesInHand: BytesInHand;
  readonly largeTurns: LargeTurns;
};

/** The table as handlers for Connect and gRPC-Web, by path. */
export function createRpcs(options: ListenerOptions, calls: CallsInHand): ReadonlyMap<string, Rpc> {
  const { services, observe = [], interceptors, refused = () => {} } = options;
  const gate = settling(options.gate);
  const { bytesInHand = createBytesInHand({ maxBytes: heapShare() }) } = options;
  const { largeTurns = createLargeTurns() } = options;
  // Options belong here and nowhere else: given with a method, they would switch gRPC on again.
  const router = createConnectRouter({
    grpc: false,
    jsonOptions: { alwaysEmitImplicit: true, ignoreUnknownFields: false },
    binaryOptions: { readUnknownFields: false },
    // Brotli at its default quality takes seconds for a large answer.
    acceptCompression: [compressionGzip],
    // Each method has its own limit, in the reading of its requests.
    readMaxBytes: maxMessageBytes,
    writeMaxBytes: maxMessageBytes,
    maxTimeoutMs: longestTimeoutMs,
    shutdownSignal: calls.cut,
    interceptors: [
      withDecoded,
      noteAnswer,
      retryAfter,
      idempotencyKey,
      ...observe,
      answerInTime,
      calls.interceptor,
      ...interceptors,
    ],
    async requestGate(context) {
      blameCaller(context);
      tellRefusal(context, refused);
      calls.admit();
      try {
        await gate(context);
      } catch (thrown) {
        throw thrown instanceof ConnectError ? withRetryAfter(thrown) : thrown;
      }
    },
  });
  for (const { method, impl } of services.flatMap((entry) => Object.values(entry.methods)))
    router.rpc(method, impl);
  return new Map(
    router.handlers.map((handler) => [
      handler.requestPath,
      { handler, bytesInHand, largeTurns, limits: requestLimits(handler.method) },
    ]),
  );
}

/** Whatever ends a call on a Connect server aborts its context before it is written. */
function tellRefusal(context: HandlerContext, refused: Refused): void {
  const { signal } = context;
  const tell = () => signal.reason instanceof ConnectError && refused(context, signal.reason);
  signal.addEventListener("abort", tell, { once: true });
}

/** True once the answer is the handler's own, and not a refusal. */
const isAnswered = createContextKey(false);

const noteAnswer: Interceptor = (next) => async (request) => {
  const response = await next(request);
  request.contextValues.set(isAnswered, true);
  return response;
};

/** Rejects if the answer could not be written to its end; what was written stays. */
export async function answerRpc(
  { handler, limits, bytesInHand, largeTurns }: Rpc,
  request: IncomingMessage,
  response: ServerResponse,
  settled: () => void,
): Promise<void> {
  const values = createContextValues().set(settledKey, settled);
  const organizationId = () => maybeCallerOf({ contextValues: values })?.organizationId;
  const hold = bytesInHand.hold(organizationId);
  const turn = (bytes: number) => largeTurns.take(bytes, organizationId());
  const reading = { limits, values, turn };
  response.once("close", hold.release);
  const call = readCall(request, response, {
    ...reading,
    hold,
    prepare: decodeFirst(handler.method, reading),
  });
  if (!call) return sendText(response, 400, "The Host header is not valid.");
  if (!isWelcome(handler, request, response)) return;
  if (isStream(handler)) {
    // Proxies pass on each message as it comes, and change nothing.
    response.setHeader("cache-control", "no-store, no-transform");
    response.setHeader("x-accel-buffering", "no");
  }
  let isSent = false;
  // It also "finishes" if its socket was destroyed before.
  response.once("finish", () => (isSent = response.statusCode === 200 && hasLeft(request)));
  response.once("close", () => deliveryOf(values).end(isSent && values.get(isAnswered)));
  const answer = await handler(call);
  await writeAnswer(isWebText(request.headers["content-type"] ?? "") ? toWebText(answer) : answer, response);
}

const isStream = ({ method }: UniversalHandler): boolean => method.methodKind !== "unary";

// Connect allows GET for streams that only read, too, and has nothing to answer to it.
const verbsOf = (handler: UniversalHandler): readonly string[] =>
  isStream(handler) ? ["POST"] : handler.allowedMethods;

/** Where an RPC is called. */
export const pathsOf = ({ handler }: Rpc): ServedPath[] =>
  verbsOf(handler).map((verb) => ({
    method: verb,
    path: handler.requestPath,
    ...(needsKey(handler.method.parent) && { rpc: handler.method }),
  }));

const unaryTypes = ["application/json", "application/proto"];
const streamTypes = ["application/connect+json", "application/connect+proto"];
const webTypes = ["application/grpc-web+proto", "application/grpc-web+json", webTextType];

/** Says what would have worked where the method or the type of the body does not. */
function isWelcome(
  handler: UniversalHandler,
  { method: verb = "", headers, httpVersion }: IncomingMessage,
  response: ServerResponse,
): boolean {
  const { method, supportedContentType } = handler;
  const allowed = verbsOf(handler);
  if (!allowed.includes(verb)) {
    response.setHeader("allow", allowed.join(", "));
    sendText(response, 405, `${method.name} is called with ${allowed.join(" or ")}.`);
    return false;
  }
  if (method.methodKind === "bidi_streaming" && httpVersion.startsWith("1.")) {
    response.setHeader("connection", "close");
    sendText(response, 505, `${method.name} is a stream in both directions; call it on the gRPC port.`);
    return false;
  }
  const type = headers["content-type"] ?? "";
  // Connect would take JSON as text, too, which is no part of gRPC-Web.
  const isTextOfJson = /^application\/grpc-web-text\+json/i.test(type);
  if (verb === "GET" || (supportedContentType(type) && !isTextOfJson)) return true;
  const types = [...(isStream(handler) ? streamTypes : unaryTypes), ...webTypes];
  response.setHeader("accept-post", types.join(", "));
  sendText(response, 415, `Send ${method.name} as ${types.join(", ")}; gRPC has a port of its own.`);
  return false;
}
