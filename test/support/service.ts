import { randomBytes } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { pino } from "pino";
import { inject } from "vitest";
import { generateApiKey } from "../../src/domain/api-key.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { type ServiceOptions, startService } from "../../src/service.ts";
import { withKey } from "./api-key.ts";
import { cloneDatabase } from "./database.ts";

type TestOptions = Partial<
  Pick<
    ServiceOptions,
    | "databaseDirectUrl"
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

/** What a replica has in common with those beside it. */
type Beside = { readonly databaseUrl: string; readonly prefix: string; readonly apiKey: string };

/**
 * A whole replica with its loops, and an admin's client for it: on a database and a Redis prefix of its own, or on
 * those of another, `beside`.
 */
export async function startTestService({ beside, ...options }: TestOptions & { beside?: Beside } = {}) {
  await using stack = new AsyncDisposableStack();
  const databaseUrl = beside?.databaseUrl ?? stack.use(await cloneDatabase()).url;
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
    prefix,
    httpUrl,
    grpcUrl,
    httpPaths: service.httpPaths,
    /** A Connect client that sends this key. */
    clientWith: (key: string) =>
      createClient(
        BatchJobService,
        createConnectTransport({
          baseUrl: httpUrl,
          httpVersion: "1.1",
          interceptors: [withKey(key)],
        }),
      ),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
