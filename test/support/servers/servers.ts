import { mkdtemp, rm, chmod } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import type { TestProject } from "vitest/node";
import { startEmbeddedPostgres } from "../../../src/embedded/postgres/postgres.ts";
import { startEmbeddedRedis } from "../../../src/embedded/redis/redis.ts";
import { type EmbeddedOptions } from "../../../src/embedded/server.ts";
import { migrate } from "../../../src/postgres/schema/migrate.ts";
import { redisPackageDirectory } from "./redis-servers.ts";

declare module "vitest" {
  interface ProvidedContext {
    databaseUrl: string;
    /** The same server as somebody who may make and drop databases. */
    adminUrl: string;
    /** What a database without our tables is a copy of. */
    emptyTemplate: string;
    redisUrl: string;
  }
}

type StartRedis = (options: EmbeddedOptions) => Promise<AsyncDisposable & { readonly url: string }>;
type TestPostgres = { readonly url: string; readonly adminUrl?: string; readonly emptyTemplate?: string };
type StartPostgres = (options: EmbeddedOptions) => Promise<AsyncDisposable & TestPostgres>;

/** Starts the real servers for one run of all tests, on empty data, and leaves a migrated database to clone. */
export async function startServers(
  project: TestProject,
  {
    startRedis,
    startPostgres = startEmbeddedPostgres,
  }: { startRedis: StartRedis; startPostgres?: StartPostgres },
): Promise<() => Promise<void>> {
  await using stack = new AsyncDisposableStack();
  const dataDirectory = await mkdtemp(join(tmpdir(), "callsheet-test-"));
  await chmod(dataDirectory, 0o755);
  stack.defer(() => rm(dataDirectory, { recursive: true, force: true }));
  const options = {
    dataDirectory,
    packageDirectory: redisPackageDirectory,
    say: (line: string) => void process.stderr.write(`${line}\n`),
  };
  const postgres = stack.use(await startPostgres(options));
  const { url: databaseUrl, adminUrl = databaseUrl, emptyTemplate = "template1" }: TestPostgres = postgres;
  const redis = stack.use(await startRedis(options));

  await flushNothing(adminUrl);
  await migrate(databaseUrl);

  project.provide("databaseUrl", databaseUrl);
  project.provide("adminUrl", adminUrl);
  project.provide("emptyTemplate", emptyTemplate);
  project.provide("redisUrl", redis.url);
  const running = stack.move();
  return () => running.disposeAsync();
}

/**
 * Nobody pulls this machine's plug, and databases are made and dropped by the hundred, each time with a checkpoint. The
 * servers that tests do harm to (own-servers.ts) flush as they do in production.
 */
async function flushNothing(url: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query("alter system set fsync = off");
    await client.query("select pg_reload_conf()");
  } finally {
    await client.end();
  }
}

export const setup = (project: TestProject): Promise<() => Promise<void>> =>
  startServers(project, { startRedis: startEmbeddedRedis });
