import { setTimeout as delay } from "node:timers/promises";
import { type CallOptions, Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { codeName } from "../../src/rpc/errors.ts";
import type { Clients } from "../support/replica.ts";
import type { System } from "./system.ts";

/** A refusal that trying again does not change. */
export class Refused extends Error {
  readonly reason: string;
  constructor(rpc: string, reason: string, why: string) {
    super(`${rpc} was refused: ${reason}: ${why}`);
    this.reason = reason;
  }
}

type Request<T> = (clients: Clients, options: CallOptions) => Promise<T>;
export type Insist = <T>(
  rpc: string,
  request: Request<T>,
  options?: {
    timeoutMs?: number;
    /** So long it is patient at first, try by try, and then as long as others. It tries again at once. */
    patienceMs?: readonly number[];
    /** Tries the same replica again, not another one, while its patience is short. */
    stays?: boolean;
  },
) => Promise<T>;

const pauseMs = 100;
const longestMs = 120_000;

function endOf(error: unknown): { end: string; why: string } {
  const connectError = ConnectError.from(error);
  const reason = connectError.findDetails(ErrorInfoSchema)[0]?.metadata["code"];
  return { end: reason ?? codeName(connectError.code), why: connectError.rawMessage };
}

/** Codes that say that a call did not get through, or that nobody knows whether it did. */
const passing: ReadonlySet<string> = new Set(
  [Code.Unavailable, Code.DeadlineExceeded, Code.Canceled, Code.Aborted].map(codeName),
);

/**
 * Asks one replica after the other until one answers, as clients do that repeat a call with its request id. Every try
 * is written down. A refusal is thrown, and so is the last failure of a call that nobody answers for two minutes.
 */
export function createInsist({ replicas, history }: Pick<System, "replicas" | "history">): Insist {
  let turn = 0;
  return async function insist(rpc, request, { timeoutMs = 4_000, patienceMs = [], stays = false } = {}) {
    let tries = 0;
    for (const began = performance.now(); ; tries += 1) {
      const isHasty = tries < patienceMs.length;
      if (!(stays && isHasty && tries > 0)) turn += 1;
      const replica = replicas[turn % replicas.length];
      if (replica === undefined) throw new Error("there are no replicas");
      const at = performance.now();
      const note = (how: { end: string; why?: string }) =>
        void history.tried.push({ at, rpc, replica: replica.name, ms: performance.now() - at, ...how });
      try {
        const answer = await request(replica.clients, { timeoutMs: patienceMs[tries] ?? timeoutMs });
        note({ end: "ok" });
        return answer;
      } catch (error) {
        const how = endOf(error);
        note(how);
        // A connection that breaks in the middle of an answer is no answer.
        const isBroken = /socket|stream|session|ECONN|http2|closed|missing/i.test(String(error));
        if (!passing.has(how.end) && !isBroken) throw new Refused(rpc, how.end, how.why);
        if (performance.now() - began > longestMs) throw error;
        if (!isHasty) await delay(pauseMs);
      }
    }
  };
}
