import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import type { WhileValid } from "../../access/api-keys.ts";
import { BatchJobError } from "../../domain/batch-job-error.ts";
import { ContactWorkerService } from "../../gen/callsheet/v1/contact_worker_service_pb.ts";
import { jittered } from "../../timing/loop.ts";
import type { Metrics } from "../../vitals/metrics.ts";
import { maybeCallerOf } from "../gate/gate.ts";

type Request = Parameters<ReturnType<Interceptor>>[0];

/** Streams that need no key are so many at most, on both listeners together, and last no longer than this. */
const mostKeyless = 500;
const keylessMs = 10 * 60_000;

const isStreamOfAnswers = ({ method }: Request): boolean =>
  method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming";

/** Streams, and the one call with a single answer that waits for it. */
const staysOpen = (request: Request): boolean =>
  request.stream || request.method === ContactWorkerService.method.leaseContacts;

const tooManyKeyless = (most: number) =>
  new BatchJobError(
    "limit_exceeded",
    `This replica has ${most} streams open that need no API key; try again later, or ask Health.Check from time to time.`,
    { limit: String(most) },
  );

const over = new ConnectError("the call is over", Code.Canceled);

const aged = () => new ConnectError("the stream has been open for long; open it again", Code.Unavailable);

/**
 * Ends calls that stay open when their time is over: as `invalid_api_key` once their key is not valid any more, and a
 * stream of answers as `unavailable` when it is as old as a connection may become, so that its client turns to
 * whichever replica there is by then. What a call with a single answer has read to its end is not broken off.
 */
export function openCallsInterceptor(options: {
  whileValid: WhileValid;
  translate: (thrown: unknown) => ConnectError;
  metrics: Metrics;
  /** Infinity for streams that may go on for ever. */
  streamMaxAgeMs: number;
  keyless?: { readonly most: number; readonly maxAgeMs: number };
}): Interceptor {
  const { whileValid, translate, metrics, streamMaxAgeMs } = options;
  const { most, maxAgeMs } = options.keyless ?? { most: mostKeyless, maxAgeMs: keylessMs };
  let keyless = 0;

  /** Holds a place for the call, and answers how to give it back; `end` is called when its time is over. */
  function hold(request: Request, end: (thrown: unknown) => void): () => void {
    const caller = maybeCallerOf(request);
    if (caller === undefined && keyless >= most) throw translate(tooManyKeyless(most));
    const mostMs = isStreamOfAnswers(request)
      ? Math.min(streamMaxAgeMs, caller === undefined ? maxAgeMs : Infinity)
      : Infinity;
    const timer = mostMs === Infinity ? undefined : setTimeout(() => end(aged()), jittered(mostMs));
    const forget = caller === undefined ? () => (keyless -= 1) : whileValid(caller, end);
    if (caller === undefined) keyless += 1;
    const method = `${request.service.typeName}/${request.method.name}`;
    metrics.openCalls.inc({ method });
    return () => {
      clearTimeout(timer);
      forget();
      metrics.openCalls.dec({ method });
    };
  }

  function open(request: Request) {
    const controller = new AbortController();
    const waiting = new Set<(reason: unknown) => void>();
    let isClosed = false;
    const close = () => {
      if (isClosed) return;
      isClosed = true;
      request.signal.removeEventListener("abort", leave);
      // Answered before its handler was done, it may be repeated: nothing must go on for it then.
      controller.abort(over);
      giveBack();
    };
    const end = (thrown: unknown) => {
      controller.abort(translate(thrown));
      for (const reject of waiting) reject(controller.signal.reason);
    };
    const leave = () => {
      controller.abort(request.signal.reason);
      close();
    };
    const giveBack = hold(request, end);
    request.signal.addEventListener("abort", leave);
    if (request.signal.aborted) leave();
    return {
      signal: controller.signal,
      close,
      /** What the work answers, unless the call's time is over first. */
      async unlessOver<T>(work: Promise<T>): Promise<T> {
        const { promise, resolve, reject } = Promise.withResolvers<T>();
        waiting.add(reject);
        work.then(resolve, reject);
        try {
          return await promise;
        } finally {
          waiting.delete(reject);
        }
      },
    };
  }

  async function* readUntilOver<T>(messages: AsyncIterable<T>, call: ReturnType<typeof open>) {
    const reading = messages[Symbol.asyncIterator]();
    try {
      for (;;) {
        call.signal.throwIfAborted();
        const { done, value } = await call.unlessOver(reading.next());
        if (done === true) return;
        yield value;
      }
    } finally {
      // A read that is still waiting ends with its call.
      reading.return?.()?.catch(() => {});
    }
  }

  async function* answerAndClose<T>(messages: AsyncIterable<T>, call: ReturnType<typeof open>) {
    try {
      yield* messages;
    } finally {
      call.close();
    }
  }

  return (next) => async (request) => {
    if (!staysOpen(request)) return await next(request);
    const call = open(request);
    const { signal } = call;
    if (!request.stream) {
      try {
        return await call.unlessOver(next({ ...request, signal }));
      } finally {
        call.close();
      }
    }
    try {
      const response = await next({ ...request, signal, message: readUntilOver(request.message, call) });
      return response.stream ? { ...response, message: answerAndClose(response.message, call) } : response;
    } catch (thrown) {
      call.close();
      throw thrown;
    }
  };
}
