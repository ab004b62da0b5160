import type { IncomingMessage, ServerResponse } from "node:http";
import type { DescMethod } from "@bufbuild/protobuf";
import { createHandlerContext } from "@connectrpc/connect";
import { codeToHttpStatus, errorToJson } from "@connectrpc/connect/protocol-connect";
import type { CallsInHand } from "../calls-in-hand.ts";
import { composeMethod, type InvokeMethod } from "../invoke.ts";
import { answerInTime } from "./in-time.ts";
import { settledKey } from "../strangers.ts";
import { asConnectError } from "../last-resort.ts";
import type { ListenerOptions } from "../listener.ts";

/** What calls a method as the listeners' other protocols do; undefined if it is not among those that are served. */
export function invokerOf(
  method: DescMethod,
  options: ListenerOptions,
  calls: CallsInHand,
): InvokeMethod | undefined {
  const specs = options.services.flatMap((entry) => Object.values(entry.methods));
  const spec = specs.find((candidate) => candidate.method === method);
  const { observe = [], interceptors } = options;
  return spec && composeMethod(spec, [...observe, answerInTime, calls.interceptor, ...interceptors]);
}

/** A request over plain HTTP as a call of a method; it is over when its response is closed. */
export function openPlainCall(
  method: DescMethod,
  request: IncomingMessage,
  response: ServerResponse,
  { calls, settled }: { calls: CallsInHand; settled: () => void },
) {
  const context = createHandlerContext({
    service: method.parent,
    method,
    protocolName: "http",
    requestMethod: request.method ?? "",
    url: request.url ?? "",
    requestHeader: { authorization: request.headers.authorization ?? "" },
    shutdownSignal: calls.cut,
  });
  context.values.set(settledKey, settled);
  const { promise: over, reject } = Promise.withResolvers<never>();
  over.catch(() => {});
  context.signal.addEventListener("abort", () =>
    reject(asConnectError(context.signal.reason, context.signal)),
  );
  response.once("close", () => context.abort());
  return {
    context,
    /** What the work answers, unless the call is over first. */
    unlessOver: <T>(work: Promise<T>): Promise<T> => Promise.race([work, over]),
    /** Answers what was thrown, as Connect writes it. */
    refuse(thrown: unknown): void {
      const error = asConnectError(thrown, context.signal);
      const body = JSON.stringify(errorToJson(error, undefined));
      response.setHeaders(error.metadata);
      response.writeHead(codeToHttpStatus(error.code), { "content-type": "application/json" }).end(body);
    },
  };
}
