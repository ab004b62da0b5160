import { BatchJobError } from "../domain/batch-job-error.ts";
import { createRecent } from "../timing/recent.ts";
import { invalidApiKey } from "./api-keys.ts";

/** An address that has no valid key may try so many wrong ones in a minute. */
const mostWrong = 20;
const windowMs = 60_000;

/** An address from which a valid key came is not limited for so long. */
const welcomeMs = 10 * 60_000;
/** It is noted so often. */
const notedMs = 60_000;

/** Of each sort of address those that were noted last. */
const mostKnown = 10_000;

export type WrongKeys = {
  /** A call under a valid key comes from there. */
  sawValid(address: string): void;
  /** What a call under a wrong key from there is answered. */
  refusalFor(address: string): BatchJobError;
};

/**
 * Tells addresses that send nothing but wrong keys to come later. Where valid ones come from too, as from behind a
 * proxy, each wrong one is refused for what it is; no valid one ever is.
 */
export function createWrongKeys(onLimited: () => void = () => {}): WrongKeys {
  const welcome = createRecent<string, number>(mostKnown);
  const tried = createRecent<string, { count: number; readonly endsMs: number }>(mostKnown);
  const isNoted = (address: string, forMs: number) =>
    (welcome.get(address) ?? -Infinity) > performance.now() - forMs;

  return {
    sawValid(address) {
      if (isNoted(address, notedMs)) return;
      welcome.set(address, performance.now());
      tried.delete(address);
    },
    refusalFor(address) {
      if (isNoted(address, welcomeMs)) return invalidApiKey();
      const nowMs = performance.now();
      let here = tried.get(address);
      if (here === undefined || here.endsMs <= nowMs) {
        here = { count: 0, endsMs: nowMs + windowMs };
        tried.set(address, here);
      }
      here.count += 1;
      if (here.count <= mostWrong) return invalidApiKey();
      onLimited();
      const retryDelayMs = Math.ceil(here.endsMs - nowMs);
      return new BatchJobError(
        "rate_limited",
        `More than ${mostWrong} calls with wrong API keys came from this address within a minute, and none with a valid one; a valid key is taken at once, any other in ${Math.ceil(retryDelayMs / 1_000)} s.`,
        { limit: String(mostWrong) },
        { retryDelayMs },
      );
    },
  };
}
