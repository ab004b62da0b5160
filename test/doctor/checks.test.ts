import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { beforeEach, describe, expect, test } from "vitest";
import { comparisonChecks } from "../../src/doctor/comparison.ts";
import { type Finding, runChecks } from "../../src/doctor/finding.ts";
import { judgeClock, postgresChecks } from "../../src/doctor/postgres-checks.ts";
import { redisChecks } from "../../src/doctor/redis-checks.ts";
import { openDatabase } from "../../src/postgres/connections/database.ts";
import { readInstallation } from "../../src/postgres/doctor.ts";
import { keepRedisPrefix } from "../../src/postgres/schema/installation.ts";
import { openRedis } from "../../src/redis/connection.ts";
import { createKeys } from "../../src/redis/keys.ts";
import { makeJob, makeWholeJob } from "../support/make.ts";
import { type Parts, connected, startParts } from "../support/parts.ts";
import { startRedisServer } from "../support/servers/redis-servers.ts";

/** Everything that doctor looks at, on parts of a service of which nothing runs. */
async function examine(parts: Parts, { keys = parts.keys } = {}): Promise<Finding[]> {
  await using stack = new AsyncDisposableStack();
  const db = openDatabase({ url: parts.databaseUrl, poolSize: 1 });
  stack.defer(() => db.destroy());
  const { redis } = parts;
  return await runChecks([
    ...postgresChecks(db, 6),
    ...redisChecks({ redis, keys, installation: () => readInstallation(db) }),
    ...comparisonChecks({ db, redis, keys, settleMs: 20 }),
  ]);
}

/** The Postgres of these tests is one that a crash may take. */
const ofThisPostgres = "fsync is off: a crash loses what was answered; switch it on.";

const notWell = (findings: readonly Finding[]) =>
  findings.filter(({ level, sentence }) => level !== "ok" && sentence !== ofThisPostgres);

/** A service that has been used: each kind of job, whole. */
async function startUsed(): Promise<Parts> {
  const parts = await startParts();
  await parts.redis.set(parts.keys.installation, await keepRedisPrefix(parts.db, parts.prefix));
  for (const status of ["pending", "scheduled", "running", "completed", "failed", "cancelled"] as const)
    await makeWholeJob(parts, { status });
  await makeWholeJob(parts, { status: "scheduled", dueInMs: 30_000 });
  return parts;
}

let parts: Parts;
beforeEach(async () => {
  const used = await startUsed();
  parts = used;
  return () => used[Symbol.asyncDispose]();
});

const minutesAgo = sql<Date>`clock_timestamp() - interval '5 minutes'`;

/** How something is broken, which look then finds it, and what it says. */
const broken: [string, string, Finding["level"], RegExp, (parts: Parts) => Promise<unknown>][] = [
  [
    "the schema lacks a migration",
    "schema",
    "warning",
    /lacks 0012-owners/,
    ({ db }) => sql`delete from schema_migrations where name = '0012-owners'`.execute(db),
  ],
  [
    "commits do not wait for the disk",
    "settings of Postgres",
    "fault",
    /fsync and synchronous_commit are off/,
    async ({ db, databaseUrl }) => {
      const name = new URL(databaseUrl).pathname.slice(1);
      await sql`alter database ${sql.id(name)} set synchronous_commit = off`.execute(db);
    },
  ],
  [
    "a start is late",
    "work that is late",
    "fault",
    /starts that are late: 1 \(by up to (59|6\d) s\)/,
    (broke) => makeWholeJob(broke, { status: "scheduled", dueInMs: -60_000 }),
  ],
  [
    "a lease has run out",
    "work that is late",
    "fault",
    /leases that have run out and were not ended: 1/,
    async (broke) => {
      await makeWholeJob(broke, { status: "running", dialing: 1 });
      const { organizationId } = broke.caller;
      await sql`update organizations set dialing = 1 where id = ${organizationId}`.execute(broke.db);
      await sql`update leases set expires_at = ${minutesAgo}`.execute(broke.db);
    },
  ],
  [
    "a job has nothing open",
    "work that is late",
    "fault",
    /running jobs that have nothing open and have not ended: 1/,
    async (broke) => {
      const { id } = await makeWholeJob(broke, { status: "completed" });
      await broke.db
        .updateTable("batch_jobs")
        .set({ status: "running", finished_at: null, updated_at: minutesAgo })
        .where("id", "=", id)
        .execute();
      await broke.contactList.create({ id, organizationId: broke.caller.organizationId }, 1);
      await broke.fanOut.run({ id, organizationId: broke.caller.organizationId });
    },
  ],
  [
    "a count is not of its rows",
    "invariants",
    "fault",
    /"an organization's count of leases is its open attempts" does not hold/,
    ({ db }) => sql`update organizations set dialing = 7`.execute(db),
  ],
  [
    "Redis has another database's keys",
    "installation",
    "fault",
    /are another database's/,
    ({ redis, keys }) => redis.set(keys.installation, randomUUID()),
  ],
  [
    "Redis does not know whose keys it has",
    "installation",
    "warning",
    /does not know whose keys/,
    ({ redis, keys }) => redis.del(keys.installation),
  ],
  [
    "a job that is due soon is not on the schedule",
    "entries that are missing",
    "fault",
    /due within a minute and not on the schedule in Redis: 1/,
    (broke) => makeJob(broke, { status: "scheduled", dueInMs: 30_000 }),
  ],
  [
    "an entry stands for nothing",
    "entries that stand for nothing",
    "fault",
    /entries of the schedule in Redis that stand for no start: 1/,
    ({ schedule }) =>
      schedule.add({ scheduledJobId: randomUUID(), scheduledStartTimeMs: Date.now() + 3_600_000 }),
  ],
  [
    "a running job has no list",
    "lists that lack contacts",
    "fault",
    /running jobs that lack contacts on their lists: 1/,
    (broke) => makeJob(broke, { status: "running" }),
  ],
  [
    "a list has lost its contacts",
    "lists that lack contacts",
    "fault",
    /running jobs that lack contacts on their lists: 1/,
    async (broke) => {
      const { id, organization_id: organizationId } = await makeWholeJob(broke, { status: "running" });
      await broke.redis.del(broke.keys.contacts({ id, organizationId }));
    },
  ],
  [
    "a job that does not run has keys",
    "keys that were left",
    "fault",
    /jobs that do not run and have keys in Redis: 1/,
    async (broke) => {
      const { id, organization_id: organizationId } = await makeJob(broke);
      await broke.contactList.create({ id, organizationId }, 1);
    },
  ],
];

describe("doctor", () => {
  test("finds nothing where nothing is broken", async () => {
    expect(notWell(await examine(parts))).toEqual([]);
  });

  test.each(broken)("finds it, and nothing else, where %s", async (_, check, level, said, breakIt) => {
    await breakIt(parts);
    expect(notWell(await examine(parts))).toEqual([{ check, level, sentence: expect.stringMatching(said) }]);
  });

  test("finds another prefix than the replicas have", async () => {
    const findings = await examine(parts, { keys: createKeys("other") });
    const found = findings.find(({ check }) => check === "installation");
    expect(found?.sentence).toBe(
      `REDIS_PREFIX is other, but the replicas of this database use ${parts.prefix}; set it so here too.`,
    );
  });

  test.each([
    [
      "evicts keys",
      "maxmemory-policy",
      "allkeys-lru",
      "policy of Redis",
      /set maxmemory-policy to noeviction/,
    ],
    ["is nearly full", "maxmemory", "1mb", "health of Redis", /nine tenths of its maxmemory/],
  ])("finds it where Redis %s", async (_, setting, value, check, said) => {
    await using server = await startRedisServer();
    const redis = await connected(openRedis(server.url));
    try {
      await server.admin.config("SET", setting, value);
      const installation = () => readInstallation(parts.db);
      const findings = await runChecks(redisChecks({ redis, keys: parts.keys, installation }));
      expect(findings.find((finding) => finding.check === check)).toMatchObject({
        level: expect.stringMatching(/^(fault|warning)$/),
        sentence: expect.stringMatching(said),
      });
    } finally {
      redis.disconnect();
    }
  });

  test("does not take for wrong what is put right a moment later", async () => {
    const { id, organization_id: organizationId } = await makeJob(parts, { status: "running" });
    const settled = comparisonChecks({ ...parts, settleMs: 1_500 });
    const looking = runChecks(settled);
    await parts.contactList.create({ id, organizationId }, 1);
    await parts.fanOut.run({ id, organizationId });
    expect(notWell(await looking)).toEqual([]);
  });

  test("takes an answer's time on its way for no difference of clocks", () => {
    const asked = { fromMs: 100_000, untilMs: 109_000 };
    expect(judgeClock("Redis", 104_000, asked).level).toBe("ok");
    expect(judgeClock("Redis", 94_000, asked)).toMatchObject({
      level: "warning",
      sentence: expect.stringContaining("6 s apart"),
    });
  });
});
