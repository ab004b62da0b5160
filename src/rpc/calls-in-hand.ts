import { setTimeout as delay } from "node:timers/promises";
import {
  Code,
  ConnectError,
  type Interceptor,
  type StreamRequest,
  type UnaryRequest,
} from "@connectrpc/connect";
import { asConnectError } from "./last-resort.ts";

type Next = Parameters<Interceptor>[0];

/** The calls of one listener that are being answered. */
export type CallsInHand = {
  /** Goes outermost: counts the calls, ends streams of answers at shutdown, lets out nothing but ConnectErrors. */
  interceptor: Interceptor;
  /** Aborts, with a ConnectError `unavailable`, when the calls still in hand have used up their grace. */
  cut: AbortSignal;
  /** Throws `unavailable` once `finish` has begun. */
  admit(): void;
  /** Waits until the transport has closed and every handler has ended; false if that took longer than `graceMs`. */
  finish(closed: Promise<unknown>, graceMs: number): Promise<boolean>;
};

export function createCallsInHand(): CallsInHand {
  const reason = new ConnectError("the server is shutting down", Code.Unavailable);
  const cut = new AbortController();
  const idle = Promise.withResolvers<void>();
  const streamsOfAnswers = new Set<AbortController>();
  let stopping = false;
  let count = 0;

  const left = () => {
    count -= 1;
    if (stopping && count === 0) idle.resolve();
  };

  async function unary(next: Next, request: UnaryRequest) {
    count += 1;
    try {
      return await next(request);
    } catch (thrown) {
      throw asConnectError(thrown, request.signal);
    } finally {
      left();
    }
  }

  async function stream(next: Next, request: StreamRequest) {
    count += 1;
    const controller = new AbortController();
    const abort = () => controller.abort(request.signal.reason);
    const done = () => {
      request.signal.removeEventListener("abort", abort);
      streamsOfAnswers.delete(controller);
      left();
    };
    request.signal.addEventListener("abort", abort);
    if (request.signal.aborted) abort();
    if (request.method.methodKind !== "client_streaming") streamsOfAnswers.add(controller);
    try {
      const response = await next({ ...request, signal: controller.signal });
      if (!response.stream) throw new Error(`${request.method.name} answered a stream with a single message`);
      return { ...response, message: watched(response.message, controller.signal, done) };
    } catch (thrown) {
      done();
      throw asConnectError(thrown, controller.signal);
    }
  }

  return {
    interceptor: (next) => (request) => (request.stream ? stream(next, request) : unary(next, request)),
    cut: cut.signal,
    admit() {
      if (stopping) throw reason;
    },
    async finish(closed, graceMs) {
      stopping = true;
      if (count === 0) idle.resolve();
      for (const controller of streamsOfAnswers) controller.abort(reason);
      const timer = new AbortController();
      const late = delay(graceMs, false, { signal: timer.signal }).catch(() => false);
      const finished = await Promise.race([Promise.all([closed, idle.promise]).then(() => true), late]);
      timer.abort();
      if (!finished) cut.abort(reason);
      return finished;
    },
  };
}

async function* watched<T>(messages: AsyncIterable<T>, signal: AbortSignal, done: () => void) {
  try {
    yield* messages;
  } catch (thrown) {
    throw asConnectError(thrown, signal);
  } finally {
    done();
  }
}
