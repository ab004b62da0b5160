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

/** Logs JSON lines to standard error. */
export const createLogger = (level: string): Logger =>
  pino({ level, base: {}, serializers: { err: describeError } }, destination({ fd: 2, sync: true }));
