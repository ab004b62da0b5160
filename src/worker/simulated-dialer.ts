import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Outcome } from "../gen/callsheet/v1/batch_job_pb.ts";
import type { PlaceCall } from "./run-worker.ts";

/** Of a thousand calls, so many end like this. */
const distribution: readonly (readonly [Outcome, number])[] = [
  [Outcome.COMPLETED, 560],
  [Outcome.NO_ANSWER, 180],
  [Outcome.BUSY, 80],
  [Outcome.VOICEMAIL, 110],
  [Outcome.TIMEOUT, 30],
  [Outcome.INVALID_NUMBER, 20],
  [Outcome.BLOCKED, 10],
  [Outcome.CARRIER_ERROR, 10],
];

/**
 * Stands in for a telephone: no call is placed, and each takes a random time up to `longestMs`. The same seed, phone
 * number and attempt always give the same outcome after the same time.
 */
export function simulatedDialer(options: { seed: number; longestMs: number }): PlaceCall {
  return async (contact, signal) => {
    const name = `${options.seed} ${contact.phone} ${contact.attempt}`;
    const digest = createHash("sha256").update(name).digest();
    const callDurationMs = Math.round((digest.readUInt32BE(0) / 2 ** 32) * options.longestMs);
    await delay(callDurationMs, undefined, { signal });
    let mark = digest.readUInt32BE(4) % 1000;
    const ended = distribution.find(([, share]) => (mark -= share) < 0);
    return {
      outcome: ended?.[0] ?? Outcome.FAILED,
      callDurationMs,
      providerCallId: digest.toString("hex", 8, 16),
    };
  };
}
