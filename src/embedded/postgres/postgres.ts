import { existsSync } from "node:fs";
import { readFile, realpath, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Client } from "pg";
import { serverAccount } from "../account.ts";
import { makeReachable } from "../data-directory.ts";
import { own } from "../own.ts";
import { findPostgresBinaries } from "./postgres-binaries.ts";
import { clusterIn, database, makeCluster, readPostmaster, role } from "./postgres-cluster.ts";
import { serverEnvironment } from "../run.ts";
import type { Command } from "../server-process.ts";
import {
  adoptLive,
  type EmbeddedOptions,
  type EmbeddedServer,
  findLive,
  launch,
  type LiveServer,
  type Server,
} from "../server.ts";

export type { EmbeddedOptions, EmbeddedServer } from "../server.ts";

/**
 * Starts Postgres on loopback, or adopts the one that a killed owner left running in this data directory. Disposing
 * stops it. The caller holds the data directory.
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedServer> {
  const { dataDirectory, say } = options;
  const server = postgresIn(dataDirectory);
  const { data } = server;
  let found: Promise<string> | undefined;
  const binaries = () => (found ??= findPostgresBinaries(serverAccount(data), resolve(dataDirectory), say));
  async function commandFor(port: number): Promise<Command> {
    const file = join(await binaries(), "bin/postgres");
    // No process of this cluster lives, or it would hold the lifeline; Postgres itself can only compare process ids.
    await rm(join(data, "postmaster.pid"), { force: true });
    const args = ["-D", data, `--port=${port}`, "--listen_addresses=127.0.0.1", "--unix_socket_directories="];
    return { file, args, env: serverEnvironment(), account: serverAccount(data) };
  }

  const left = await adoptLive(server);
  if (left) {
    say(`embedded Postgres: taking over the one that an earlier run left in ${server.directory}`);
    return own(server, left, commandFor, options);
  }
  const account = serverAccount(data);
  makeReachable(dataDirectory, account);
  say(`embedded Postgres: its data is in ${server.directory}`);
  await makeCluster(server.directory, await binaries(), account);
  return own(server, await launch(server, commandFor), commandFor, options);
}

/** Whether there is one in this data directory, running or not. */
export const hasEmbeddedPostgres = (dataDirectory: string): boolean =>
  existsSync(postgresIn(dataDirectory).data);

/** URL of the Postgres that runs in this data directory right now, or undefined. */
export async function findEmbeddedPostgres(dataDirectory: string): Promise<string | undefined> {
  return (await findLive(postgresIn(dataDirectory)))?.url;
}

function postgresIn(dataDirectory: string): Server {
  const directory = resolve(dataDirectory, "postgres");
  return {
    name: "Postgres",
    directory,
    data: clusterIn(directory).data,
    stopSignals: ["SIGINT", "SIGQUIT", "SIGKILL"],
    probe: () => probePostgres(directory),
  };
}

async function probePostgres(directory: string): Promise<LiveServer | undefined> {
  const { data, passwordFile } = clusterIn(directory);
  const postmaster = await readPostmaster(data);
  if (!postmaster) return undefined;
  const password = await readFile(passwordFile, "utf8");
  const url = `postgres://${role}:${password}@127.0.0.1:${postmaster.port}/${database}`;
  const served = await servedDirectory(url);
  return served === (await realpath(data)) ? { url, pid: postmaster.pid } : undefined;
}

async function servedDirectory(url: string): Promise<string | undefined> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000, query_timeout: 5_000 });
  client.on("error", () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ data_directory: string }>("show data_directory");
    return rows[0] && (await realpath(rows[0].data_directory));
  } catch {
    return undefined;
  } finally {
    await client.end().catch(() => {});
  }
}
