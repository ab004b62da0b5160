import { randomBytes } from "node:crypto";
import { chown, mkdir, readFile, realpath, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Redis } from "ioredis";
import { z } from "zod";
import { type Account, serverAccount } from "../account.ts";
import { makeReachable } from "../data-directory.ts";
import { own } from "../own.ts";
import { findRedisBinary } from "./redis-binary.ts";
import type { Command } from "../server-process.ts";
import {
  adoptLive,
  type EmbeddedOptions,
  type EmbeddedServer,
  launch,
  type LiveServer,
  type Server,
} from "../server.ts";
import { makeWholeDirectory } from "../whole-directory.ts";

/**
 * Starts Redis or Valkey on loopback, or adopts the one that a killed owner left running in this data directory.
 * Disposing stops it. The caller holds the data directory.
 */
export async function startEmbeddedRedis(options: EmbeddedOptions): Promise<EmbeddedServer> {
  const { dataDirectory, say } = options;
  const server = redisIn(dataDirectory);
  const packageDirectory = resolve(options.packageDirectory ?? join(dataDirectory, "redis-package"));
  let found: ReturnType<typeof findRedisBinary> | undefined;
  const binary = () =>
    (found ??= findRedisBinary({ account: serverAccount(server.data), packageDirectory, say }));
  async function commandFor(port: number): Promise<Command> {
    const { file, env } = await binary();
    const account = serverAccount(server.data);
    await writeConfig(server.directory, port, account);
    return { file, args: [filesIn(server.directory).config], env, account };
  }

  const left = await adoptLive(server);
  if (left) {
    say(`embedded Redis: taking over the one that an earlier run left in ${server.directory}`);
    return own(server, left, commandFor, options);
  }
  const account = serverAccount(server.data);
  makeReachable(dataDirectory, account);
  await binary();
  say(`embedded Redis: its data is in ${server.directory}`);
  await makeStore(server.directory, account);
  return own(server, await launch(server, commandFor), commandFor, options);
}

function redisIn(dataDirectory: string): Server {
  const directory = resolve(dataDirectory, "redis");
  return {
    name: "Redis",
    directory,
    data: filesIn(directory).data,
    stopSignals: ["SIGTERM", "SIGKILL"],
    probe: () => probeRedis(directory),
  };
}

function filesIn(directory: string): { data: string; passwordFile: string; config: string } {
  const file = (name: string): string => join(directory, name);
  return { data: file("data"), passwordFile: file("password"), config: file("redis.conf") };
}

async function makeStore(directory: string, account: Account | undefined): Promise<void> {
  await makeWholeDirectory(directory, async (fresh) => {
    const { data, passwordFile } = filesIn(fresh);
    await mkdir(data, { mode: 0o700 });
    if (account) await chown(data, account.uid, account.gid);
    await writeFile(passwordFile, randomBytes(32).toString("hex"), { mode: 0o600 });
  });
}

/** Written anew for every launch, since it is also where the port of a running server is read from. */
async function writeConfig(directory: string, port: number, account: Account | undefined): Promise<void> {
  const { data, passwordFile, config } = filesIn(directory);
  const settings = [
    `port ${port}`,
    "bind 127.0.0.1",
    `requirepass ${await readFile(passwordFile, "utf8")}`,
    `dir "${data.replace(/["\\]/g, "\\$&")}"`,
    "appendonly yes",
    "appendfsync everysec",
    'save ""',
    "maxmemory-policy noeviction",
    "daemonize no",
  ];
  await writeFile(config, `${settings.join("\n")}\n`, { mode: 0o600 });
  if (account) await chown(config, account.uid, account.gid);
}

async function probeRedis(directory: string): Promise<LiveServer | undefined> {
  const { data, passwordFile, config } = filesIn(directory);
  const port = /^port (\d+)$/m.exec(await readFile(config, "utf8").catch(() => ""))?.[1];
  if (port === undefined) return undefined;
  const password = await readFile(passwordFile, "utf8");
  const identity = await askIdentity(Number(port), password);
  if (identity?.directory !== (await realpath(data))) return undefined;
  return { url: `redis://:${password}@127.0.0.1:${port}`, pid: identity.pid };
}

async function askIdentity(
  port: number,
  password: string,
): Promise<{ directory: string; pid: number } | undefined> {
  const redis = new Redis({
    host: "127.0.0.1",
    port,
    password,
    lazyConnect: true,
    enableReadyCheck: false,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    connectTimeout: 5_000,
    commandTimeout: 5_000,
    disconnectTimeout: 100, // ioredis waits so long, even for a connection that never was, and keeps the process
  });
  redis.on("error", () => {});
  try {
    await redis.connect();
    await redis.ping(); // refused while it still loads its data
    const reply = await redis.config("GET", "dir");
    const directory = z.tuple([z.literal("dir"), z.string()]).parse(reply)[1];
    const pid = Number(/^process_id:(\d+)/m.exec(await redis.info("server"))?.[1]);
    return { directory: await realpath(directory), pid };
  } catch {
    return undefined;
  } finally {
    redis.disconnect();
  }
}
