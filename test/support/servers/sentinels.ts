import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { findRedisBinary } from "../../../src/embedded/redis/redis-binary.ts";
import { freePort } from "../../../src/embedded/server-process.ts";
import { eventually } from "../eventually.ts";
import {
  type RedisServer,
  type RedisTls,
  redisPackageDirectory,
  startRedisServer,
  tlsSettings,
} from "./redis-servers.ts";

export const masterName = "calls";

/** A master of Redis with a replica, and three Sentinels who watch over them. */
export type Watched = AsyncDisposable & {
  readonly url: string;
  readonly master: RedisServer;
  readonly replica: RedisServer;
  /** Resolves when all Sentinels call the replica the master. */
  failedOver(): Promise<void>;
};

const quorum = 2;
const count = 3;

/** A server, and the port at which it is to be reached by others. */
async function startMember(settings: Record<string, string>, tls: RedisTls | undefined) {
  const tlsPort = await freePort();
  const ofTls = tls === undefined ? {} : tlsSettings(tlsPort, tls);
  const server = await startRedisServer({ ...settings, ...ofTls });
  return { server, port: tls === undefined ? server.port : tlsPort };
}

export async function startWatched(
  options: { user?: string; sentinelPassword?: string; downAfterMs?: number; tls?: RedisTls } = {},
): Promise<Watched> {
  const { user = "", sentinelPassword, downAfterMs = 1_000, tls } = options;
  await using stack = new AsyncDisposableStack();
  const first = await startMember({ "repl-diskless-sync-delay": "0" }, tls);
  const master = stack.use(first.server);
  const second = await startMember({ replicaof: `127.0.0.1 ${first.port}` }, tls);
  const replica = stack.use(second.server);
  await eventually(async () => {
    if (!(await replica.admin.info("replication")).includes("link_status:up")) throw new Error("not yet");
  });
  const { file, env } = await findRedisBinary({
    account: undefined,
    packageDirectory: redisPackageDirectory,
    say: () => {},
  });
  const directory = await mkdtemp(join(tmpdir(), "callsheet-sentinel-"));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const admins: Redis[] = [];
  const ports: number[] = [];
  for (let i = 0; i < count; i += 1) {
    const port = await freePort();
    const tlsPort = await freePort();
    ports.push(tls === undefined ? port : tlsPort);
    const config = join(directory, `${port}.conf`);
    const lines = [
      `port ${port}`,
      "bind 127.0.0.1",
      ...(sentinelPassword === undefined
        ? []
        : [`requirepass ${sentinelPassword}`, `sentinel sentinel-pass ${sentinelPassword}`]),
      ...Object.entries(tls === undefined ? {} : tlsSettings(tlsPort, tls)).map((setting) =>
        setting.join(" "),
      ),
      `sentinel monitor ${masterName} 127.0.0.1 ${first.port} ${quorum}`,
      `sentinel down-after-milliseconds ${masterName} ${downAfterMs}`,
      `sentinel failover-timeout ${masterName} 5000`,
    ];
    await writeFile(config, `${lines.join("\n")}\n`);
    const child = spawn(file, [config, "--sentinel"], { env, stdio: "ignore", cwd: directory });
    stack.defer(async () => {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    });
    const admin = new Redis({
      port,
      host: "127.0.0.1",
      enableReadyCheck: false,
      ...(sentinelPassword === undefined ? {} : { password: sentinelPassword }),
    });
    admin.on("error", () => {});
    stack.defer(() => admin.disconnect());
    admins.push(admin);
  }
  // Each must know the replica and the others, or it cannot agree with anybody.
  await eventually(async () => {
    for (const admin of admins) {
      const known = await Promise.all(
        ["sentinels", "replicas"].map((what) => admin.call("SENTINEL", what, masterName)),
      );
      if (known.map((all) => (Array.isArray(all) ? all.length : 0)).join() !== `${count - 1},1`)
        throw new Error("they do not know each other yet");
    }
  }, 30_000);
  const hosts = ports.map((port) => `127.0.0.1:${port}`).join(",");
  const query = sentinelPassword === undefined ? "" : `?sentinel_password=${sentinelPassword}`;
  const running = stack.move();
  return {
    url: `${tls === undefined ? "redis" : "rediss"}+sentinel://${user}${hosts}/${masterName}/3${query}`,
    master,
    replica,
    failedOver: () =>
      eventually(async () => {
        for (const admin of admins) {
          const address = await admin.call("SENTINEL", "get-master-addr-by-name", masterName);
          if (!Array.isArray(address) || Number(address[1]) !== second.port) throw new Error("not yet");
        }
      }, 30_000),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
