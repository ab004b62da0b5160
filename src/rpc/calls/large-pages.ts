import type { Interceptor } from "@connectrpc/connect";
import { serviceBusy } from "../../domain/batch-job-error.ts";
import { createLine } from "../../timing/line.ts";
import { maybeCallerOf } from "../gate/gate.ts";

/** To make an answer of no more rows takes a few milliseconds. */
const fewRows = 100;

/** So many calls of an organization wait. */
const mostWaiting = 1_000;

const rowsOf = (message: object): number => {
  const size: unknown = Reflect.get(message, "pageSize");
  return typeof size === "number" ? size : 0;
};

/**
 * Has large pages read and made one at a time, and organizations take turns: each holds the event loop for tens of
 * milliseconds, and several that come together would hold it for the sum of that. Goes inside what refuses calls.
 */
export function largePagesInterceptor(): Interceptor {
  const line = createLine({ atOnce: 1, inTurn: 1, pauseMs: 0, waiting: Infinity });
  return (next) => async (request) => {
    if (request.stream || rowsOf(request.message) <= fewRows) return await next(request);
    const group = String(maybeCallerOf(request)?.organizationId);
    const settled = await new Promise<() => void>((resolve, reject) => {
      const isWelcome = line.enter({ group, key: line, mostWaiting }, resolve);
      if (!isWelcome) reject(serviceBusy());
    });
    try {
      request.signal.throwIfAborted();
      return await next(request);
    } finally {
      // What is made of it at once is part of its turn.
      setImmediate(settled);
    }
  };
}
