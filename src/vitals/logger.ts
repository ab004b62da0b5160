import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { type Logger, destination, pino } from "pino";

/**
 * What may be logged of an error. Database errors carry the values of rows in their messages and details, so of these
 * only codes and names are kept, and where in our code they came from.
 */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return { type: typeof error };
  const { name, stack = "" } = error;
  const code: unknown = Reflect.get(error, "code");
  if (Reflect.has(error, "severity") && Reflect.has(error, "routine")) {
    const frames = stack.split("\n").filter((line) => /^\s+at /.test(line));
    const [constraint, table, routine] = ["constraint", "table", "routine"].map((key): unknown =>
      Reflect.get(error, key),
    );
    return { type: "DatabaseError", code, constraint, table, routine, stack: frames.join("\n") };
  }
  return { type: name, code, message: error.message, stack };
}

/** Disposing waits a moment for the last lines to be taken. */
export type Log = AsyncDisposable & {
  readonly logger: Logger;
  /** How many lines were dropped so far. */
  readonly dropped: () => number;
};

/** Some thousand lines: what is logged while nobody reads, beyond them, is dropped. */
const mostBytes = 1024 * 1024;

const farewellMs = 1_000;

/** Logs JSON lines to standard error. Nothing waits for whoever reads them. */
export function openLog(level: string): Log {
  const stream = destination({ fd: 2, sync: false, maxLength: mostBytes });
  const logger = pino({ level, base: {}, serializers: { err: describeError } }, stream);
  let dropped = 0;
  let told = 0;
  stream.on("drop", () => (dropped += 1));
  stream.on("drain", () => {
    if (told === dropped) return;
    const lines = dropped - told;
    told = dropped;
    logger.warn({ lines }, "lines of the log were dropped, since nobody read them");
  });
  return {
    logger,
    dropped: () => dropped,
    async [Symbol.asyncDispose]() {
      const closed = once(stream, "close");
      stream.end();
      await Promise.race([closed, delay(farewellMs)]);
      stream.destroy();
    },
  };
}
