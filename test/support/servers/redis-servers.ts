import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { chooseDataDirectory } from "../../../src/embedded/data-directory.ts";
import { findRedisBinary } from "../../../src/embedded/redis/redis-binary.ts";
import { freePort } from "../../../src/embedded/server-process.ts";
import type { CertificateFiles } from "./certificate-files.ts";
import { eventually } from "../eventually.ts";

/** A Redis server of a test's own, which it may configure, kill and connect to others as it likes. */
export type RedisServer = AsyncDisposable & {
  readonly port: number;
  readonly url: string;
  /** A client that waits patiently, for what the test itself has to say to the server. */
  readonly admin: Redis;
  /** Ends it as a power cut would. */
  kill(): Promise<void>;
};

/** Certificates of servers that speak TLS with each other and with whoever has one of the same authority. */
export type RedisTls = { readonly caFile: string; readonly files: CertificateFiles };

/** The settings of a server that speaks TLS at this port, and with servers like itself. */
export const tlsSettings = (port: number, { caFile, files }: RedisTls): Record<string, string> => ({
  "tls-port": String(port),
  "tls-cert-file": files.certificate,
  "tls-key-file": files.key,
  "tls-ca-cert-file": caFile,
  "tls-replication": "yes",
});

/** Where the Redis binary was unpacked, if it is not installed. */
export const redisPackageDirectory = join(chooseDataDirectory(undefined), "redis-package");

/** Starts a server with these settings and nothing kept on disk. */
export async function startRedisServer(settings: Record<string, string> = {}): Promise<RedisServer> {
  await using stack = new AsyncDisposableStack();
  const binary = await findRedisBinary({
    account: undefined,
    packageDirectory: redisPackageDirectory,
    say: () => {},
  });
  const directory = await mkdtemp(join(tmpdir(), "callsheet-redis-"));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const port = await freePort();
  const all = {
    port: String(port),
    bind: "127.0.0.1",
    dir: directory,
    save: "",
    appendonly: "no",
    ...settings,
  };
  const args = Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]);
  const child = spawn(binary.file, args, { env: binary.env, stdio: "ignore" });
  stack.defer(() => end(child));
  const password = settings["requirepass"];
  const admin = new Redis({ port, host: "127.0.0.1", ...(password === undefined ? {} : { password }) });
  admin.on("error", () => {});
  stack.defer(() => admin.disconnect());
  await eventually(() => admin.ping());
  const running = stack.move();
  return {
    port,
    url: `redis://${password === undefined ? "" : `:${password}@`}127.0.0.1:${port}`,
    admin,
    kill: () => end(child),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}
