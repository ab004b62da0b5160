import { execFile } from "node:child_process";
import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Redis } from "ioredis";
import { chooseDataDirectory } from "../../../src/embedded/data-directory.ts";
import { isHeld } from "../../../src/embedded/lifeline.ts";
import { clusterIn, readPostmaster } from "../../../src/embedded/postgres/postgres-cluster.ts";
import { startEmbeddedPostgres } from "../../../src/embedded/postgres/postgres.ts";
import { startEmbeddedRedis } from "../../../src/embedded/redis/redis.ts";
import { sendSignal } from "../../../src/embedded/server-process.ts";
import type { EmbeddedOptions } from "../../../src/embedded/server.ts";
import { eventually } from "../eventually.ts";

const run = promisify(execFile);

/** A real server with data of its own, which a test may kill, stop and start again; its port may change then. */
export type OwnServer = AsyncDisposable & {
  url(): string;
  /** Ends it at once, as a loss of power would: nothing is written any more. */
  kill(): Promise<void>;
  /** Starts it again on the data that it left. */
  start(): Promise<void>;
  /** Stops every process of it where it stands. */
  freeze(): Promise<void>;
  thaw(): void;
};

export type OwnRedis = OwnServer & {
  /** Copies its data as they are on disk now. */
  keepSnapshot(): Promise<void>;
  /** What it is to find when it is started again: nothing, or the last snapshot. */
  replaceData(by: "nothing" | "snapshot"): Promise<void>;
};

/** The process and what it has begun. */
async function family(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  return [pid, ...children.trim().split(" ").filter(Boolean).map(Number)];
}

type Kind = {
  directory: string;
  launch: () => Promise<AsyncDisposable & { url: string }>;
  pid: () => Promise<number>;
  killSignal: NodeJS.Signals;
};

async function startOwnServer(kind: Kind): Promise<OwnServer> {
  let server = await kind.launch();
  let frozen: number[] = [];
  const untilGone = () =>
    eventually(() => {
      if (isHeld(join(kind.directory, "lifeline"))) throw new Error(`${kind.directory} is still served`);
    }, 30_000);
  const thaw = () => {
    for (const pid of frozen) sendSignal(pid, "SIGCONT");
    frozen = [];
  };
  return {
    url: () => server.url,
    async kill() {
      sendSignal(await kind.pid(), kind.killSignal);
      await untilGone();
    },
    async start() {
      server = await kind.launch();
    },
    async freeze() {
      const pid = await kind.pid();
      sendSignal(pid, "SIGSTOP");
      frozen = await family(pid);
      for (const each of frozen) sendSignal(each, "SIGSTOP");
    },
    thaw,
    async [Symbol.asyncDispose]() {
      thaw();
      await server[Symbol.asyncDispose]();
    },
  };
}

async function startOwnPostgres(options: EmbeddedOptions): Promise<OwnServer> {
  const directory = join(options.dataDirectory, "postgres");
  return await startOwnServer({
    directory,
    launch: () => startEmbeddedPostgres(options),
    async pid() {
      const postmaster = await readPostmaster(clusterIn(directory).data);
      if (postmaster === undefined) throw new Error("Postgres does not run");
      return postmaster.pid;
    },
    // An immediate shutdown: like kill -9, but that the children end with it.
    killSignal: "SIGQUIT",
  });
}

async function startOwnRedis(options: EmbeddedOptions): Promise<OwnRedis> {
  const directory = join(options.dataDirectory, "redis");
  const files = join(directory, "data", "appendonlydir");
  const snapshot = join(directory, "snapshot");
  const server = await startOwnServer({
    directory,
    launch: () => startEmbeddedRedis(options),
    async pid() {
      const redis = new Redis(server.url());
      const info = await redis.info("server");
      redis.disconnect();
      return Number(/^process_id:(\d+)/m.exec(info)?.[1]);
    },
    killSignal: "SIGKILL",
  });
  return {
    ...server,
    async keepSnapshot() {
      await rm(snapshot, { recursive: true, force: true });
      // With the owner, who is not us if we are root.
      await run("cp", ["-a", files, snapshot]);
    },
    async replaceData(by) {
      await rm(files, { recursive: true, force: true });
      if (by === "snapshot") await run("cp", ["-a", snapshot, files]);
    },
  };
}

export type OwnServers = AsyncDisposable & { readonly postgres: OwnServer; readonly redis: OwnRedis };

/** Postgres, or another one in its place, and Redis on empty data, with their ordinary, durable settings. */
export async function startOwnServers(
  startPostgres: (options: EmbeddedOptions) => Promise<OwnServer> = startOwnPostgres,
): Promise<OwnServers> {
  await using stack = new AsyncDisposableStack();
  const dataDirectory = await mkdtemp(join(tmpdir(), "callsheet-faults-"));
  stack.defer(() => rm(dataDirectory, { recursive: true, force: true }));
  await chmod(dataDirectory, 0o755);
  const options = {
    dataDirectory,
    packageDirectory: join(chooseDataDirectory(undefined), "redis-package"),
    say: () => {},
  };
  const postgres = stack.use(await startPostgres(options));
  const redis = stack.use(await startOwnRedis(options));
  const running = stack.move();
  return { postgres, redis, [Symbol.asyncDispose]: () => running.disposeAsync() };
}
