import type { Logger } from "pino";

const mostASecond = 10;

/** Logs the first calls of a second that were refused at the gate, and of the others only how many they were. */
export function createRefusalLog(logger: Logger): (fields: object) => void {
  let logged = 0;
  let unlogged = 0;

  function endSecond(): void {
    if (unlogged > 0) logger.info({ calls: unlogged }, "more calls were refused, and not logged one by one");
    logged = 0;
    unlogged = 0;
  }

  return (fields) => {
    if (logged + unlogged === 0) setTimeout(endSecond, 1_000).unref();
    if (logged === mostASecond) {
      unlogged += 1;
      return;
    }
    logged += 1;
    logger.info(fields, "call refused");
  };
}
