import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import { sql } from "kysely";
import { afterAll, describe, expect, inject, test } from "vitest";
import type { Finding } from "../../src/doctor/finding.ts";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { runProgram } from "../support/command.ts";
import { makeContacts } from "../support/make.ts";
import { createClients } from "../support/replica.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());
const { db } = service;

const settings = {
  DATABASE_URL: service.databaseUrl,
  DATABASE_POOL_SIZE: "6",
  REDIS_URL: inject("redisUrl"),
  REDIS_PREFIX: service.prefix,
};

const doctor = async (more: Record<string, string> = {}, args: readonly string[] = ["--json"]) =>
  await runProgram("src/doctor/doctor.ts", args, { ...settings, ...more });

/** What is not well, but for what the Postgres of these tests is set to. */
function notWell(stdout: string): Finding[] {
  const findings = JSON.parse(stdout) as Finding[];
  return findings.filter(({ level, sentence }) => level !== "ok" && !sentence.startsWith("fsync is off"));
}

/** Keeps the service busy until it is told to stop: jobs are made, started, worked and ended. */
function keepBusy() {
  const { jobs, worker } = createClients(service.grpcUrl, service.apiKey);
  const over = new AbortController();
  async function make(): Promise<void> {
    for (let made = 0; !over.signal.aborted; made += 1) {
      const scheduledStartTime = new Date(Date.now() + 2_000).toISOString();
      const contacts = makeContacts(50);
      const job = { name: `Job ${made}`, fromPhoneNumberId: "pn_1", contacts };
      const { batchJobId } = await jobs.createBatchJob(made % 2 === 0 ? job : { ...job, scheduledStartTime });
      if (made % 2 === 0) await jobs.startBatchJob({ batchJobId });
      if (made % 5 === 0) await jobs.cancelBatchJob({ batchJobId });
    }
  }
  async function work(): Promise<number> {
    let done = 0;
    while (!over.signal.aborted) {
      const { contacts } = await worker.leaseContacts({
        workerId: "w",
        maxContacts: 20,
        wait: { seconds: 1n },
      });
      const outcomes = contacts.map(({ leaseId }, i) => ({
        leaseId,
        outcome: i % 3 === 0 ? Outcome.BUSY : Outcome.COMPLETED,
      }));
      if (outcomes.length > 0) await worker.reportOutcomes({ outcomes });
      done += outcomes.length;
    }
    return done;
  }
  const all = Promise.all([work(), work(), make()]);
  return async (): Promise<number> => {
    over.abort();
    const [first, second] = await all;
    return first + second;
  };
}

describe("doctor", () => {
  test("finds nothing wrong with a service at work, whenever it looks", async () => {
    const stop = keepBusy();
    for (let look = 0; look < 3; look += 1) {
      const { stdout, stderr } = await doctor();
      expect([stderr, notWell(stdout)]).toEqual(["", []]);
    }
    expect(await stop()).toBeGreaterThan(100);
  }, 120_000);

  test("prints a line for each look, and ends with what the worst of them is", async () => {
    const { stdout, exitCode } = await doctor({}, []);
    const lines = stdout.trim().split("\n");
    expect(lines.filter((line) => !/^(ok {5}|warning|fault {2}) {2}\S.*: \S.*\.$/.test(line))).toEqual([]);
    // The Postgres of these tests may lose what it has answered.
    expect([lines.filter((line) => line.startsWith("fault")).length, exitCode]).toEqual([1, 2]);
  });

  test.each([
    [
      "the files of its certificate",
      { TLS_CERT_FILE: "/nope.crt", TLS_KEY_FILE: "/nope.key" },
      { check: "TLS files", sentence: /^TLS_\w+_FILE: \/nope\.\w+ cannot be used: there is no such file\.$/ },
    ],
    [
      "the address beside the pooler",
      { DATABASE_DIRECT_URL: "postgres://nobody@127.0.0.1:1/nothing" },
      {
        check: "Postgres",
        sentence: /^Postgres at 127\.0\.0\.1:1 \(DATABASE_DIRECT_URL\) takes no connections/,
      },
    ],
  ])("finds out what a start is refused for: %s", async (_, wrong, { check, sentence }) => {
    const { stdout, exitCode } = await doctor(wrong);
    const found = notWell(stdout).find((finding) => finding.check === check);
    expect(found).toEqual({ check, level: "fault", sentence: expect.stringMatching(sentence) });
    expect(exitCode).toBe(2);
  });

  test("says what a role and a user that may read nothing cannot look at", async () => {
    const name = `nobody_${randomBytes(4).toString("hex")}`;
    const redis = new Redis(inject("redisUrl"));
    try {
      await sql`create role ${sql.id(name)} login password 'secret'`.execute(db);
      await redis.call("ACL", "SETUSER", name, "reset", "on", ">secret", "+@connection");
      const { stdout } = await doctor(asUser(name));
      const found = notWell(stdout);
      expect(found.filter(({ level }) => level === "fault")).toEqual([]);
      expect(found.filter(({ check }) => ["schema", "invariants"].includes(check))).toMatchObject([
        { level: "warning", sentence: expect.stringContaining("GRANT SELECT on all tables") },
        { level: "warning", sentence: expect.stringContaining("GRANT SELECT on all tables") },
      ]);
      expect(found.find(({ check }) => check === "health of Redis")?.sentence).toContain("+@read, and +info");
    } finally {
      await redis.call("ACL", "DELUSER", name);
      redis.disconnect();
      await sql`drop role ${sql.id(name)}`.execute(db);
    }
  }, 60_000);

  test("needs no more than the right to read, of Postgres and of Redis", async () => {
    const name = `reader_${randomBytes(4).toString("hex")}`;
    const redis = new Redis(inject("redisUrl"));
    try {
      await sql`create role ${sql.id(name)} login password 'secret'`.execute(db);
      await sql`grant select on all tables in schema public to ${sql.id(name)}`.execute(db);
      const rights = [
        "reset",
        "on",
        ">secret",
        `%R~${service.prefix}:*`,
        "+@read",
        "+@connection",
        "+info",
        "+time",
      ];
      await redis.call("ACL", "SETUSER", name, ...rights);
      const { stdout } = await doctor(asUser(name));
      expect(notWell(stdout)).toEqual([]);
    } finally {
      await redis.call("ACL", "DELUSER", name);
      redis.disconnect();
      await sql`drop owned by ${sql.id(name)}`.execute(db);
      await sql`drop role ${sql.id(name)}`.execute(db);
    }
  }, 60_000);

  test.each([
    ["no Postgres", { DATABASE_URL: "postgres://127.0.0.1:1/x" }, /^Postgres$/, /DATABASE_URL|Postgres/],
    ["no Redis", { REDIS_URL: "redis://127.0.0.1:1" }, /^Redis$/, /^Redis does not answer/],
  ])("says in a sentence that there is %s", async (_, more, check, said) => {
    const { stdout, exitCode } = await doctor(more);
    expect(notWell(stdout)).toEqual([
      { check: expect.stringMatching(check), level: "fault", sentence: expect.stringMatching(said) },
    ]);
    expect(exitCode).toBe(2);
  });
});

/** The servers, as this role and this user. */
function asUser(name: string): Record<string, string> {
  const [database, redis] = [new URL(service.databaseUrl), new URL(inject("redisUrl"))];
  for (const url of [database, redis]) Object.assign(url, { username: name, password: "secret" });
  return { DATABASE_URL: database.href, REDIS_URL: redis.href };
}
