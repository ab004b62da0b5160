import {
  Code,
  ConnectError,
  type HandlerContext,
  type Interceptor,
  createContextKey,
} from "@connectrpc/connect";
import type { CallTrace } from "../../domain/call-trace.ts";
import { isUuid } from "../../domain/jobs/job-id.ts";
import type { Traces } from "../../vitals/traces.ts";
import { codeName } from "../errors.ts";
import { maybeCallerOf, needsKey } from "../gate/gate.ts";

const traceKey = createContextKey<CallTrace | undefined>(undefined);

/** The span of a call; undefined unless it is traced. */
export const traceOf = (context: Pick<HandlerContext, "values">): CallTrace | undefined =>
  context.values.get(traceKey);

/** What a caller can do nothing about, as OpenTelemetry counts it. */
const faults: ReadonlySet<Code> = new Set([
  Code.Unknown,
  Code.DeadlineExceeded,
  Code.Unimplemented,
  Code.Internal,
  Code.Unavailable,
  Code.DataLoss,
]);

type Call = Parameters<ReturnType<Interceptor>>[0];

/** The attributes of a call, by the semantic conventions; nothing in them is a caller's own words. */
function attributesOf({ service, method, url, requestMethod, header }: Call) {
  const names = { "rpc.service": service.typeName, "rpc.method": method.name };
  if (!url.split("?", 1)[0]?.endsWith(`/${service.typeName}/${method.name}`))
    return { ...names, "http.request.method": requestMethod };
  const type = header.get("content-type") ?? (requestMethod === "GET" ? "" : "application/grpc");
  return { ...names, "rpc.system": type.startsWith("application/grpc") ? "grpc" : "connect_rpc" };
}

/** Makes a span of each call that has a key, in its caller's trace if it names one. It goes outermost. */
export function tracingInterceptor(traces: Traces): Interceptor {
  return (next) => async (request) => {
    if (!needsKey(request.service)) return await next(request);
    const name = `${request.service.typeName}/${request.method.name}`;
    const span = traces.beginCall(name, request.header, {
      ...attributesOf(request),
      "callsheet.organization": maybeCallerOf(request)?.organizationId ?? 0,
    });
    request.contextValues.set(traceKey, span.trace);
    if (!request.stream) {
      const id: unknown = Reflect.get(request.message, "batchJobId");
      if (typeof id === "string" && isUuid(id)) span.trace?.about(id);
    }

    function fail(thrown: unknown): void {
      const { code } = ConnectError.from(thrown);
      span.end({ name: codeName(code), isFault: faults.has(code) });
    }

    async function* endAfter<T>(messages: AsyncIterable<T>): AsyncIterable<T> {
      let isOver = false;
      try {
        yield* messages;
      } catch (error) {
        isOver = true;
        fail(error);
        throw error;
      } finally {
        if (!isOver) span.end();
      }
    }

    try {
      const response = await next(request);
      if (response.stream) return { ...response, message: endAfter(response.message) };
      span.end();
      return response;
    } catch (error) {
      fail(error);
      throw error;
    }
  };
}
