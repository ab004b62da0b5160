import type { IncomingMessage, ServerResponse } from "node:http";
import type { DescMethod } from "@bufbuild/protobuf";
import { createHandlerContext, type Interceptor } from "@connectrpc/connect";
import { codeToHttpStatus, errorToJson } from "@connectrpc/connect/protocol-connect";
import type { CallsInHand } from "../calls/calls-in-hand.ts";
import { composeMethod, type InvokeMethod } from "../calls/invoke.ts";
import { answerInTime } from "./in-time.ts";
import { settledKey, settling } from "../gate/strangers.ts";
import { asConnectError } from "../calls/last-resort.ts";
import type { ListenerOptions } from "../listener.ts";
import { withRetryAfter } from "./retry-after.ts";

/** What calls a method as the listeners' other protocols do; undefined if it is not among those that are served. */
export function invokerOf(
  method: DescMethod,
  options: ListenerOptions,
  calls: CallsInHand,
): InvokeMethod | undefined {
  const specs = options.services.flatMap((entry) => Object.values(entry.methods));
  const spec = specs.find((candidate) => candidate.method === method);
  return spec && composeMethod(spec, interceptorsOf(options, calls));
}

/** What is around the handler of a call over plain HTTP, the outermost first. */
export function interceptorsOf(
  { observe = [], interceptors }: ListenerOptions,
  calls: CallsInHand,
): Interceptor[] {
  return [...observe, answerInTime, calls.interceptor, ...interceptors];
}

/** Where a call comes from, and what it is to tell once it is known who calls. */
type Arrived = {
  readonly options: ListenerOptions;
  readonly calls: CallsInHand;
  readonly settled: () => void;
  /** The header's if not given. */
  readonly authorization?: string;
};

/** W3C's headers of the trace that a request belongs to. */
const traceHeaders = ({ headers }: IncomingMessage): Record<string, string> =>
  Object.fromEntries(
    ["traceparent", "tracestate"].flatMap((name) => {
      const value = headers[name];
      return typeof value === "string" ? [[name, value]] : [];
    }),
  );

/** A request over plain HTTP as a call of a method; it is over when its response is closed. */
export function openPlainCall(
  method: DescMethod,
  request: IncomingMessage,
  response: ServerResponse,
  { options, calls, settled, authorization = request.headers.authorization ?? "" }: Arrived,
) {
  const context = createHandlerContext({
    service: method.parent,
    method,
    protocolName: "http",
    requestMethod: request.method ?? "",
    url: request.url ?? "",
    requestHeader: { authorization, ...traceHeaders(request) },
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
    /** Rejects unless calls are taken and the caller may make this one. */
    async enter(): Promise<void> {
      calls.admit();
      await settling(options.gate)(context);
    },
    /** What the work answers, unless the call is over first. */
    unlessOver: <T>(work: Promise<T>): Promise<T> => Promise.race([work, over]),
    /** Answers what was thrown, as Connect writes it. */
    refuse(thrown: unknown): void {
      const error = asConnectError(thrown, context.signal);
      const body = JSON.stringify(errorToJson(error, undefined));
      response.setHeaders(withRetryAfter(error).metadata);
      response.writeHead(codeToHttpStatus(error.code), { "content-type": "application/json" }).end(body);
    },
  };
}
