import { randomBytes } from "node:crypto";
import { generateApiKey } from "../../src/domain/api-key.ts";
import { openDatabase } from "../../src/postgres/connections/database.ts";
import { cloneDatabase } from "./database.ts";
import { startTestService } from "./service.ts";

/** A whole replica that may be stopped, and started again on the same data and the same port. */
export async function startRestartable() {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await cloneDatabase());
  const db = openDatabase({ url: database.url, poolSize: 2 });
  stack.defer(() => db.destroy());
  const apiKey = generateApiKey();
  const prefix = `test-${randomBytes(6).toString("hex")}`;
  const beside = { databaseUrl: database.url, prefix, apiKey };
  let service = await startTestService({ beside });
  stack.defer(() => service[Symbol.asyncDispose]());
  const { grpcUrl } = service;
  const running = stack.move();
  return {
    apiKey,
    db,
    grpcUrl,
    stop: () => service[Symbol.asyncDispose](),
    async start() {
      service = await startTestService({ beside, grpcPort: Number(new URL(grpcUrl).port) });
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
