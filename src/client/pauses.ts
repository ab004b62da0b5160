import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { askedPauseMs } from "./repeats.ts";

const firstPauseMs = 100;
const longestPauseMs = 5_000;

/** How long to wait before a call comes again: ever longer, and never less than the service asks for. */
export function createPauses(): (error: ConnectError) => number {
  let pauseMs = firstPauseMs;
  return (error) => {
    const nextMs = Math.max(pauseMs * (0.5 + Math.random() / 2), askedPauseMs(error) ?? 0);
    pauseMs = Math.min(2 * pauseMs, longestPauseMs);
    return nextMs;
  };
}

/** Waits so long; rejects with the signal's reason, as that of a call, once it is aborted. */
export const pause = (ms: number, signal: AbortSignal | undefined): Promise<void> =>
  delay(ms, undefined, signal && { signal }).catch(() => {
    throw ConnectError.from(signal?.reason, Code.Canceled);
  });
