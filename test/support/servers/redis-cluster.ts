import { freePort } from "../../../src/embedded/server-process.ts";
import { eventually } from "../eventually.ts";
import { type RedisServer, type RedisTls, startRedisServer, tlsSettings } from "./redis-servers.ts";

export type RedisCluster = AsyncDisposable & {
  /** Names two of the masters; the rest is for the client to find out. */
  readonly url: string;
  readonly masters: readonly RedisServer[];
  /** The replica of each master, in its place, if there are replicas. */
  readonly replicas: readonly RedisServer[];
  /** The place of the master that a key belongs to, as long as no slot is moved. */
  placeOf(key: string): Promise<number>;
};

const mastersCount = 3;
const slots = 16_384;

/**
 * Starts a cluster of three masters, each with a replica if that is wanted. A node that does not answer the others for
 * `nodeTimeoutMs` is taken for dead. With `tls` the nodes speak it with each other, and tell who comes over TLS of
 * their ports for that.
 */
export async function startRedisCluster(options: {
  replicasEach: 0 | 1;
  nodeTimeoutMs: number;
  password?: string;
  tls?: RedisTls;
}): Promise<RedisCluster> {
  const { replicasEach, nodeTimeoutMs, password, tls } = options;
  await using stack = new AsyncDisposableStack();
  const nodes: { server: RedisServer; port: number; busPort: number }[] = [];
  for (let i = 0; i < mastersCount * (1 + replicasEach); i += 1) {
    const busPort = await freePort();
    const tlsPort = await freePort();
    const server = await startRedisServer({
      "cluster-enabled": "yes",
      "cluster-node-timeout": String(nodeTimeoutMs),
      "cluster-port": String(busPort),
      "repl-diskless-sync-delay": "0",
      ...(password === undefined ? {} : { requirepass: password, masterauth: password }),
      ...(tls === undefined ? {} : { ...tlsSettings(tlsPort, tls), "tls-cluster": "yes" }),
    });
    nodes.push({ server: stack.use(server), port: tls === undefined ? server.port : tlsPort, busPort });
  }
  const servers = nodes.map(({ server }) => server);
  const masters = servers.slice(0, mastersCount);
  const replicas = servers.slice(mastersCount);

  const first = (i: number) => Math.ceil((slots * i) / mastersCount);
  for (const [i, { admin }] of servers.entries()) await admin.cluster("SET-CONFIG-EPOCH", i + 1);
  for (const [i, { admin }] of masters.entries()) {
    await admin.cluster("ADDSLOTSRANGE", first(i), first(i + 1) - 1);
  }
  const [one, ...others] = nodes;
  // Nodes that do not get to know each other in time forget that they were to.
  await eventually(async () => {
    for (const { port, busPort } of others) {
      await one?.server.admin.call("CLUSTER", "MEET", "127.0.0.1", port, busPort);
    }
    for (const { admin } of servers) await untilInfo(admin, `cluster_known_nodes:${nodes.length}`, 5_000);
  }, 20_000);
  for (const [i, { admin }] of replicas.entries()) {
    const masterId = String(await masters[i]?.admin.cluster("MYID"));
    await eventually(() => admin.cluster("REPLICATE", masterId));
  }
  for (const { admin } of servers) await untilInfo(admin, "cluster_state:ok");
  for (const { admin } of replicas) {
    await eventually(async () => {
      if (!(await admin.info("replication")).includes("master_link_status:up"))
        throw new Error("no link yet");
    });
  }
  const running = stack.move();
  return {
    url: nodes
      .slice(0, 2)
      .map(({ server, port }) => (tls === undefined ? server.url : `rediss://127.0.0.1:${port}`))
      .join(","),
    masters,
    replicas,
    async placeOf(key) {
      const slot = Number(await masters[0]?.admin.cluster("KEYSLOT", key));
      return masters.findLastIndex((_, i) => slot >= first(i));
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function untilInfo(admin: RedisServer["admin"], line: string, withinMs = 20_000): Promise<void> {
  await eventually(async () => {
    if (!(await admin.cluster("INFO")).includes(`${line}\r\n`)) throw new Error(`not yet ${line}`);
  }, withinMs);
}
