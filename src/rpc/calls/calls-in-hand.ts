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

/** After the cut, what is left to hear of it has this long. */
const farewellMs = 250;

/** The calls of one listener that are being answered. */
export type CallsInHand = {
  /** Counts a call until the function it returns is called. */
  begin(): () => void;
  /**
   * Goes outermost: counts the handlers, whose clients may have gone long ago, ends streams of answers at shutdown, and
   * lets out nothing but ConnectErrors.
   */
  interceptor: Interceptor;
  /** Aborts, with a ConnectError `unavailable`, when the calls in hand have used up their grace. */
  cut: AbortSignal;
  /** Throws `unavailable` once `finish` has begun. */
  admit(): void;
  /** Waits until no call is in hand, for `graceMs` at most, then cuts those that are. */
  finish(graceMs: number): Promise<void>;
};

export function createCallsInHand(): CallsInHand {
  const reason = new ConnectError("the server is shutting down", Code.Unavailable);
  const cut = new AbortController();
  const idle = Promise.withResolvers<true>();
  const streamsOfAnswers = new Set<AbortController>();
  let stopping = false;
  let count = 0;

  const begin = () => {
    count += 1;
    return () => {
      count -= 1;
      if (stopping && count === 0) idle.resolve(true);
    };
  };

  async function unary(next: Next, request: UnaryRequest) {
    const done = begin();
    try {
      return await next(request);
    } catch (thrown) {
      throw asConnectError(thrown, request.signal);
    } finally {
      done();
    }
  }

  async function stream(next: Next, request: StreamRequest) {
    const ended = begin();
    const controller = new AbortController();
    const abort = () => controller.abort(request.signal.reason);
    const done = () => {
      request.signal.removeEventListener("abort", abort);
      streamsOfAnswers.delete(controller);
      ended();
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
    begin,
    interceptor: (next) => (request) => (request.stream ? stream(next, request) : unary(next, request)),
    cut: cut.signal,
    admit() {
      if (stopping) throw reason;
    },
    async finish(graceMs) {
      stopping = true;
      if (count === 0) idle.resolve(true);
      for (const controller of streamsOfAnswers) controller.abort(reason);
      if (await within(graceMs, idle.promise)) return;
      cut.abort(reason);
      await within(farewellMs, idle.promise);
    },
  };
}

/** Answers false if the time was up first. */
async function within(ms: number, promise: Promise<true>): Promise<boolean> {
  const timer = new AbortController();
  const late = delay(ms, false, { signal: timer.signal }).catch(() => false);
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
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
