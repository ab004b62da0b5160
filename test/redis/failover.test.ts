import { describe, expect, test } from "vitest";
import { createFanOut } from "../../src/starting/fan-out.ts";
import { type RedisClient, mastersOf, openRedis } from "../../src/redis/connection.ts";
import type { ContactList } from "../../src/redis/contact-list.ts";
import { checkFitness } from "../../src/redis/fitness.ts";
import { runSchedulerPass } from "../../src/starting/scheduler.ts";
import { eventually } from "../support/eventually.ts";
import { lookAt, numbersTo } from "../support/look.ts";
import { makeJob, makeWholeJob, onJob } from "../support/make.ts";
import { keyOf, makeJobsWithKeys } from "../support/make-many.ts";
import { type Parts, connected, startParts } from "../support/parts.ts";
import { type RedisCluster, startRedisCluster } from "../support/servers/redis-cluster.ts";
import { type RedisServer, startRedisServer } from "../support/servers/redis-servers.ts";

/*
 * What a Redis Cluster does to those who use it, each time in the middle of a fan-out or of starts: a master is killed
 * and its replica takes over, a replica takes over in good order, and a slot moves to another master.
 */

const patience = 60_000;
const contacts = 2_000;
const chunkSize = 50;

const startCluster = () => startRedisCluster({ replicasEach: 1, nodeTimeoutMs: 1_000, password: "secret" });

/** A running job in the middle of whose fan-out something is done, once, before a chunk is appended. */
async function fanOutWith(parts: Parts, disturb: (key: string, append: () => unknown) => Promise<void>) {
  const job = await makeJob(parts, { status: "running", contacts });
  await parts.contactList.create(keyOf(job), job.revision);
  let appends = 0;
  const contactList: ContactList = {
    ...parts.contactList,
    async append(...given) {
      const append = () => parts.contactList.append(...given);
      appends += 1;
      if (appends !== 10) return await append();
      const begun: { appended?: ReturnType<typeof append> } = {};
      await disturb(parts.keys.contacts(keyOf(job)), () => (begun.appended = append()));
      return await (begun.appended ?? append());
    },
  };
  const { db, metrics, logger } = parts;
  await createFanOut({ db, metrics, logger, contactList, chunkSize }).run(keyOf(job));
  return job;
}

const serverAt = <T>(servers: readonly T[], place: number): T => {
  const server = servers[place];
  if (server === undefined) throw new Error(`there is no server ${place}`);
  return server;
};

/** Sweeps, as a replica does every few seconds, until the whole list is there. */
async function expectWholeList(parts: Parts, job: { id: string }): Promise<void> {
  await eventually(async () => {
    await parts.sweep.pass().catch(() => {});
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(contacts));
  }, patience);
}

async function failures({ metrics }: Parts): Promise<number> {
  return (await metrics.fanOutFailures.get()).values[0]?.value ?? 0;
}

const startPartsOn = (cluster: RedisCluster) => startParts({ redisUrl: cluster.url, chunkSize });

test(
  "a master that is killed in the middle of a fan-out: the list is whole and in order once its replica has taken over",
  { timeout: patience },
  async () => {
    await using cluster = await startCluster();
    await using parts = await startPartsOn(cluster);
    const job = await fanOutWith(parts, async (key) => {
      await serverAt(cluster.masters, await cluster.placeOf(key)).kill();
    });
    expect(await failures(parts)).toBe(1);
    const other = await makeJob(parts, { contacts: 3 });
    expect(await parts.jobs.start(onJob(parts, other.id))).toMatchObject({ contactsEnqueued: 3 });
    await expectWholeList(parts, job);
    await eventually(async () => {
      await parts.sweep.pass();
      expect((await lookAt(parts, other.id)).list).toEqual(numbersTo(3));
    }, patience);
  },
);

test(
  "a replica that takes over in good order in the middle of a fan-out does not even stop it",
  { timeout: patience },
  async () => {
    await using cluster = await startCluster();
    await using parts = await startPartsOn(cluster);
    const job = await fanOutWith(parts, async (key) => {
      const place = await cluster.placeOf(key);
      const [{ admin: before }, { admin: after }] = [
        serverAt(cluster.masters, place),
        serverAt(cluster.replicas, place),
      ];
      await after.cluster("FAILOVER");
      await eventually(async () => expect(await after.role()).toContain("master"));
      // Until it has heard of that it has clients wait, for up to 5 s.
      await eventually(async () => expect(await before.role()).toContain("slave"));
    });
    expect(await failures(parts)).toBe(0);
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(contacts));
  },
);

test(
  "a slot that moves to another master in the middle of a fan-out does not even stop it",
  { timeout: patience },
  async () => {
    await using cluster = await startCluster();
    await using parts = await startPartsOn(cluster);
    const job = await fanOutWith(parts, async (key, append) => {
      const place = await cluster.placeOf(key);
      const from = serverAt(cluster.masters, place);
      const to = serverAt(cluster.masters, (place + 1) % 3);
      const slot = Number(await from.admin.cluster("KEYSLOT", key));
      const [fromId, toId] = [await from.admin.cluster("MYID"), await to.admin.cluster("MYID")];
      await to.admin.cluster("SETSLOT", slot, "IMPORTING", String(fromId));
      await from.admin.cluster("SETSLOT", slot, "MIGRATING", String(toId));
      // It is told to try again, then to ask the other one, which tells it so too until all keys are there.
      append();
      const keys = await from.admin.cluster("GETKEYSINSLOT", slot, 100);
      await from.admin.call(
        "MIGRATE",
        "127.0.0.1",
        to.port,
        "",
        0,
        5_000,
        "AUTH",
        "secret",
        "KEYS",
        ...keys.map(String),
      );
      for (const { admin } of [to, from]) await admin.cluster("SETSLOT", slot, "NODE", String(toId));
    });
    expect(await failures(parts)).toBe(0);
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(contacts));
  },
);

test(
  "a master that is killed with the schedule on it: every job that is due starts, once, when its replica has taken over",
  { timeout: patience },
  async () => {
    await using cluster = await startCluster();
    await using parts = await startPartsOn(cluster);
    const jobs = await makeJobsWithKeys(parts, 200, { status: "scheduled", dueInMs: -1 });
    await parts.schedule.markFilled();
    const startDue: Parts["startDue"] = async (ids) => {
      await serverAt(cluster.masters, await cluster.placeOf(parts.keys.due)).kill();
      return await parts.startDue(ids.slice(0, 100));
    };
    await expect(runSchedulerPass({ ...parts, startDue })).rejects.toThrow("the schedule");
    await eventually(async () => {
      await parts.sweep.pass();
      await runSchedulerPass(parts);
      const rows = await parts.db.selectFrom("batch_jobs").select(["status", "revision"]).execute();
      expect(rows).toEqual(jobs.map(() => ({ status: "running", revision: 2 })));
    }, patience);
  },
);

test(
  "a node that is killed while it carries a replica's signals: they come over another one",
  { timeout: patience },
  async () => {
    await using cluster = await startCluster();
    await using parts = await startPartsOn(cluster);
    const subscriber = openRedis(cluster.url);
    await using stack = new AsyncDisposableStack();
    stack.defer(() => subscriber.disconnect());
    let calls = 0;
    parts.schedule.onWake(subscriber, () => (calls += 1));
    const servers = [...cluster.masters, ...cluster.replicas];
    const carriers = async (among: typeof servers) => {
      const counts = await Promise.all(among.map(({ admin }) => admin.pubsub("NUMSUB", parts.keys.wake)));
      return among.filter((_, i) => counts[i]?.[1] === 1);
    };
    const carrier = await eventually(async () => serverAt(await carriers(servers), 0));
    await carrier.kill();
    const others = servers.filter((server) => server !== carrier);
    await eventually(async () => expect(await carriers(others)).toHaveLength(1), patience);
    await eventually(async () => {
      await makeWholeJob(parts, { status: "scheduled", dueInMs: -1 });
      expect(calls).toBeGreaterThan(0);
    }, patience);
  },
);

/** Hangs up while a command is on its way to this server; answers how often the server then did it. */
async function timesDone(redis: RedisClient, { port }: RedisServer): Promise<string | null> {
  const node = mastersOf(redis).find(({ options }) => options.port === port);
  if (node === undefined) throw new Error("the client knows no such server");
  const command = redis.incr("key").catch(String);
  // It leaves with what else is sent in this turn of the event loop; no answer can have come by then.
  await new Promise<void>((resolve) => void process.nextTick(resolve));
  node.stream.destroy();
  expect(await command).toMatch(/^Error: /);
  return await eventually(() => redis.get("key"));
}

describe("a command that was under way when its connection broke is not sent again", () => {
  test("to a cluster", { timeout: patience }, async () => {
    await using cluster = await startCluster();
    await using stack = new AsyncDisposableStack();
    const redis = await connected(openRedis(cluster.url));
    stack.defer(() => redis.disconnect());
    const server = serverAt(cluster.masters, await cluster.placeOf("key"));
    expect(await timesDone(redis, server)).toBe("1");
  });

  test("to one server", async () => {
    await using server = await startRedisServer();
    await using stack = new AsyncDisposableStack();
    const redis = await connected(openRedis(server.url));
    stack.defer(() => redis.disconnect());
    expect(await timesDone(redis, server)).toBe("1");
  });
});

test("a cluster that has lost a master for good is told to be away", { timeout: patience }, async () => {
  await using cluster = await startRedisCluster({ replicasEach: 0, nodeTimeoutMs: 1_000 });
  await using stack = new AsyncDisposableStack();
  const redis = await connected(openRedis(cluster.url));
  stack.defer(() => redis.disconnect());
  expect(await checkFitness(redis)).toEqual({ verdict: "fit" });
  await serverAt(cluster.masters, 2).kill();
  await eventually(
    () => expect(checkFitness(redis)).rejects.toThrow("a part of the Redis Cluster has no master"),
    patience,
  );
});
