import { randomUUID } from "node:crypto";
import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import { ConnectError, type Interceptor } from "@connectrpc/connect";
import type { Logger } from "pino";
import { BatchJobService } from "../../gen/callsheet/v1/batch_job_service_pb.ts";
import { isUuid } from "../../domain/jobs/job-id.ts";
import type { Metrics } from "../../vitals/metrics.ts";
import { callIdHeader, codeName } from "../errors.ts";
import { maybeCallerOf } from "../gate/gate.ts";
import { markObserved } from "../gate/refusals.ts";
import { tellEnd } from "../gate/strangers.ts";

/** The ids in a request, as far as the log may show what a caller put there. */
function idsIn(message: object): { requestId?: string; batchJobId?: string } {
  const requestId: unknown = Reflect.get(message, "requestId");
  const batchJobId: unknown = Reflect.get(message, "batchJobId");
  return {
    ...(typeof requestId === "string" && requestId !== "" ? { requestId: requestId.slice(0, 64) } : {}),
    ...(typeof batchJobId === "string" && isUuid(batchJobId) ? { batchJobId } : {}),
  };
}

/** A stream of requests has its ids in its first message, or in that message's header. */
function idsInFirst(message: object): ReturnType<typeof idsIn> {
  const part: unknown = Reflect.get(message, "part");
  const header: unknown = typeof part === "object" && part !== null ? Reflect.get(part, "value") : undefined;
  return idsIn(typeof header === "object" && header !== null ? header : message);
}

/** Counts, times and logs every call once, when it has ended. It goes outermost. */
export function observationInterceptor(metrics: Metrics, logger: Logger): Interceptor {
  return (next) => async (request) => {
    const began = performance.now();
    const callId = randomUUID();
    const method = `${request.service.typeName}/${request.method.name}`;
    // Commands are rare and matter; reads and workers' calls come by the thousand.
    const isCommand =
      request.service.typeName === BatchJobService.typeName &&
      request.method.idempotency !== Idempotency.NO_SIDE_EFFECTS;

    markObserved(request.contextValues);
    let ids = request.stream ? undefined : idsIn(request.message);

    async function* noteIds<T extends object>(messages: AsyncIterable<T>): AsyncIterable<T> {
      for await (const message of messages) {
        ids ??= idsInFirst(message);
        yield message;
      }
    }

    function end(error?: unknown): void {
      const failure = error === undefined ? undefined : ConnectError.from(error);
      const code = failure === undefined ? "ok" : codeName(failure.code);
      tellEnd(request.contextValues, failure);
      const seconds = (performance.now() - began) / 1000;
      metrics.rpcs.inc({ method, code });
      metrics.rpcSeconds.observe({ method }, seconds);
      const caller = maybeCallerOf(request);
      if (caller === undefined) return;
      const fields = {
        callId,
        method,
        code,
        durationMs: Math.round(seconds * 1e6) / 1e3,
        organizationId: caller.organizationId,
        apiKeyId: caller.apiKeyId,
        ...ids,
      };
      logger[isCommand || code !== "ok" ? "info" : "debug"](fields, "call ended");
    }

    async function* endAfter<T>(messages: AsyncIterable<T>): AsyncIterable<T> {
      let failure: unknown;
      try {
        yield* messages;
      } catch (error) {
        failure = error;
        throw error;
      } finally {
        end(failure);
      }
    }

    try {
      const response = await next(
        request.stream ? { ...request, message: noteIds(request.message) } : request,
      );
      response.header.set(callIdHeader, callId);
      if (response.stream) return { ...response, message: endAfter(response.message) };
      end();
      return response;
    } catch (error) {
      if (error instanceof ConnectError) error.metadata.set(callIdHeader, callId);
      end(error);
      throw error;
    }
  };
}
