import { randomBytes } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { pino } from "pino";
import { inject } from "vitest";
import { generateApiKey } from "../../src/domain/api-key.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { openDatabase } from "../../src/postgres/connections/database.ts";
import { type ServiceOptions, startService } from "../../src/service.ts";
import { cloneDatabase } from "./database.ts";
import { connectTo } from "./transports.ts";

type TestOptions = Partial<
  Pick<
    ServiceOptions,
    | "databaseDirectUrl"
    | "redisUrl"
    | "grpcPort"
    | "logger"
    | "longestWaitMs"
    | "rates"
    | "shutdownDelayMs"
    | "retentionDays"
    | "tls"
    | "corsOrigins"
    | "basePath"
    | "trustedProxies"
    | "webhookPolicy"
  >
>;

/** What a replica has in common with those beside it, or before and after it. */
type Beside = { readonly databaseUrl: string; readonly prefix?: string; readonly apiKey?: string };

/**
 * A whole replica with its loops, and an admin's client for it: on a database and a Redis prefix of its own, or on
 * those that others have, `beside`.
 */
export async function startTestService({ beside, ...options }: TestOptions & { beside?: Beside } = {}) {
  await using stack = new AsyncDisposableStack();
  const databaseUrl = beside?.databaseUrl ?? stack.use(await cloneDatabase()).url;
  const db = openDatabase({ url: databaseUrl, poolSize: 5 });
  stack.defer(() => db.destroy());
  const apiKey = beside?.apiKey ?? generateApiKey();
  const prefix = beside?.prefix ?? `test-${randomBytes(6).toString("hex")}`;
  const service = stack.use(
    await startService({
      databaseUrl,
      databasePoolSize: 10,
      redisUrl: inject("redisUrl"),
      redisPrefix: prefix,
      host: "127.0.0.1",
      port: 0,
      grpcPort: 0,
      bootstrapApiKey: apiKey,
      shutdownTimeoutMs: 5_000,
      erasureKey: "the key of all tests, which is no secret",
      logger: pino({ level: "silent" }),
      ...options,
    }),
  );
  const scheme = options.tls === undefined ? "http" : "https";
  const httpUrl = `${scheme}://127.0.0.1:${service.port}${options.basePath ?? ""}`;
  const grpcUrl = `${scheme}://127.0.0.1:${service.grpcPort}`;
  const running = stack.move();
  return {
    apiKey,
    databaseUrl,
    /** A pool of the test's own on its database. */
    db,
    prefix,
    httpUrl,
    grpcUrl,
    httpPaths: service.httpPaths,
    /** A Connect client that sends this key. */
    clientWith: (key: string) => createClient(BatchJobService, connectTo(httpUrl, key)),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
