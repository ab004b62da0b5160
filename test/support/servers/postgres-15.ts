import { dirname } from "node:path";
import type { TestProject } from "vitest/node";
import { startEmbeddedRedis } from "../../../src/embedded/redis/redis.ts";
import { findDebianProgram } from "./debian-program.ts";
import { makeOrdinaryRole } from "../ordinary-role.ts";
import { type Binaries, startPostgresServer } from "./postgres-servers.ts";
import { startServers } from "./servers.ts";

/** Debian's Postgres 15, which has all programs of Postgres; or why there is none. */
export async function findPostgres15(): Promise<Binaries | string> {
  const file = "usr/lib/postgresql/15/bin/postgres";
  const found = await findDebianProgram({ packageName: "postgresql-15", file, versionFlag: "--version" });
  return typeof found === "string" ? found : { directory: dirname(found.file), env: found.env };
}

/** The servers of one run: the oldest Postgres that will do, and in it a role with no rights beyond its schema. */
export const setup = async (project: TestProject): Promise<() => Promise<void>> =>
  await startServers(project, {
    startRedis: startEmbeddedRedis,
    async startPostgres() {
      const found = await findPostgres15();
      const binaries = typeof found === "string" ? undefined : found;
      if (typeof found === "string")
        process.stderr.write(`The tests for Postgres 15 run on the embedded one: ${found}\n`);
      const settings = { password_encryption: "scram-sha-256" };
      await using stack = new AsyncDisposableStack();
      const server = stack.use(
        await startPostgresServer({ settings, ...(binaries === undefined ? {} : { binaries }) }),
      );
      const url = await makeOrdinaryRole(server, "ordinary");
      server.write(
        "pg_hba.conf",
        "host all callsheet 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
      );
      await server.query("select pg_reload_conf()");
      await server.query("create database ordinary_empty template ordinary");
      const running = stack.move();
      return {
        url,
        adminUrl: server.url,
        emptyTemplate: "ordinary_empty",
        [Symbol.asyncDispose]: () => running.disposeAsync(),
      };
    },
  });
