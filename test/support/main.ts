import { randomBytes } from "node:crypto";
import { inject } from "vitest";
import { startProgram } from "./command.ts";
import { eventually } from "./eventually.ts";

/** Settings for the program on this database and the Redis of all tests, under a prefix of its own. */
export const mainSettings = (databaseUrl: string, apiKey: string) => ({
  DATABASE_URL: databaseUrl,
  REDIS_URL: inject("redisUrl"),
  REDIS_PREFIX: `test-${randomBytes(6).toString("hex")}`,
  CALLSHEET_BOOTSTRAP_API_KEY: apiKey,
});

/** The program, of this tree or of another one, once it has said on which ports, which are free ones, it listens. */
export async function startMain(settings: Record<string, string>, directory?: string) {
  await using stack = new AsyncDisposableStack();
  const program = stack.use(
    startProgram("src/main.ts", { PORT: "0", GRPC_PORT: "0", ...settings }, directory),
  );
  const urls = await eventually(() => {
    const [, httpUrl, grpc] = /^callsheet ready: (http:\S+) grpc:(\S+)$/m.exec(program.said.stdout) ?? [];
    if (httpUrl === undefined) throw new Error(`it is not ready: ${JSON.stringify(program.said)}`);
    return { httpUrl, grpcUrl: `http:${grpc}` };
  }, 60_000);
  stack.move();
  return Object.assign(program, urls);
}
