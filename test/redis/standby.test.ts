import { expect, test } from "vitest";
import { freePort } from "../../src/embedded/server-process.ts";
import { runSchedulerPass } from "../../src/starting/scheduler.ts";
import { currentContacts } from "../../src/postgres/contacts/current-contacts.ts";
import { lease, leaseOne, limitOrganization, reportAll, runJob } from "../leasing/leases.ts";
import { aNewJob, makeContacts, makeJob, makeWholeJob, onJob } from "../support/make.ts";
import { entryIdOf, keyOf } from "../support/make-many.ts";
import { eventually } from "../support/eventually.ts";
import { lookAt, inSet0, numbersTo } from "../support/look.ts";
import { newTime } from "../support/commands.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { startRedisServer } from "../support/servers/redis-servers.ts";
import { startRedisSwitch } from "../support/servers/redis-switch.ts";
import { settle, sweep } from "../starting/sweep/passes.ts";

/** A Redis with a standby, and a replica of ours that uses it. */
async function startPair() {
  await using stack = new AsyncDisposableStack();
  const master = stack.use(await startRedisServer({ "repl-diskless-sync-delay": "0" }));
  const standby = stack.use(await startRedisServer({ replicaof: `127.0.0.1 ${master.port}` }));
  const address = stack.use(await startRedisSwitch(master.port));
  const parts = stack.use(await startParts({ redisUrl: address.url, chunkSize: 100 }));
  await eventually(async () => expect(await standby.admin.info("replication")).toContain("link_status:up"));
  const running = stack.move();
  return {
    parts,
    /** From now on the standby hears of nothing: what comes is the tail that will be lost. */
    async cutReplication() {
      // It tells of the writes of its own connection only.
      await eventually(async () => expect(await parts.redis.wait(1, 500)).toBe(1));
      await standby.admin.replicaof("127.0.0.1", await freePort());
    },
    /** The master dies, and the standby takes its place with what it has. */
    async promote() {
      await master.kill();
      await standby.admin.replicaof("NO", "ONE");
      address.turnTo(standby.port);
      await eventually(() => parts.redis.set(`${parts.prefix}:probe`, "1", "PX", 1));
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Every attempt that there is, and how each contact ended. */
async function worked({ db }: Parts, jobId: string) {
  const contacts = await db
    .selectFrom(currentContacts.as("contacts"))
    .select("status")
    .where("job_id", "=", jobId)
    .execute();
  const attempts = await db.selectFrom("attempts").select("number").where("job_id", "=", jobId).execute();
  return {
    completed: contacts.filter(({ status }) => status === "completed").length,
    attempts: attempts.length,
  };
}

test("a standby without the last writes takes over: fan-outs go on, and lists are whole and in order", async () => {
  await using pair = await startPair();
  const { parts } = pair;
  const half = await makeJob(parts, { status: "running", contacts: 1_000 });
  await parts.contactList.create(keyOf(half), half.revision);
  const start = await parts.contactList.position(keyOf(half));
  if (start === undefined) throw new Error("the job has no position");
  await parts.contactList.append(keyOf(half), start, 300, inSet0({ first: 1, count: 300 }));
  const before = await makeWholeJob(parts, { status: "running", contacts: 500 });
  await pair.cutReplication();
  await parts.fanOut.run(keyOf(half));
  const after = await runJob(parts, { contacts: makeContacts(700) });
  expect((await lookAt(parts, half.id)).list).toEqual(numbersTo(1_000));

  await pair.promote();
  // So much is lost.
  expect((await lookAt(parts, half.id)).list).toEqual(numbersTo(300));
  expect((await lookAt(parts, after)).list).toEqual([]);
  await settle(parts);
  await sweep(parts, 3);
  expect((await lookAt(parts, half.id)).list).toEqual(numbersTo(1_000));
  expect((await lookAt(parts, before.id)).list).toEqual(numbersTo(500));
  expect((await lookAt(parts, after)).list).toEqual(numbersTo(700));
});

test("a standby without the last writes takes over: what is scheduled starts at its time, and nothing else", async () => {
  await using pair = await startPair();
  const { parts } = pair;
  await parts.schedule.markFilled();
  const started = await makeWholeJob(parts, { status: "scheduled", dueInMs: -1 });
  const moved = await makeWholeJob(parts, { status: "scheduled", dueInMs: -1 });
  await pair.cutReplication();
  await parts.jobs.start(onJob(parts, started.id));
  await parts.jobs.reschedule(onJob(parts, moved.id), newTime);
  const soon = await makeWholeJob(parts, { status: "scheduled", dueInMs: 500 });

  await pair.promote();
  // What was done since is undone, and the new entry is lost.
  expect(await parts.schedule.dueTimes([started, moved, soon].map(entryIdOf))).toEqual([
    started.scheduled_at?.getTime(),
    moved.scheduled_at?.getTime(),
    undefined,
  ]);
  await settle(parts);
  await sweep(parts, 1);
  await eventually(async () => {
    await runSchedulerPass(parts);
    expect((await lookAt(parts, soon.id)).row?.status).toBe("running");
  });
  expect((await lookAt(parts, started.id)).row).toMatchObject({ status: "running", revision: 2 });
  expect((await lookAt(parts, moved.id)).row).toMatchObject({ status: "scheduled", revision: 2 });
});

test("a standby without the last writes takes over: no contact is called twice, and none is left out", async () => {
  await using pair = await startPair();
  const { parts } = pair;
  await limitOrganization(parts, 1_000);
  const job = aNewJob({ contacts: makeContacts(400), concurrentCallLimit: 50 });
  const jobId = await runJob(parts, job);
  await reportAll(parts, await lease(parts, { maxContacts: 30 }), "completed");
  await pair.cutReplication();
  await reportAll(parts, await lease(parts, { maxContacts: 30 }), "completed");
  const held = await lease(parts, { maxContacts: 30 });
  const listed = (await lookAt(parts, jobId)).list.length;
  expect(listed).toBe(310);

  await pair.promote();
  expect((await lookAt(parts, jobId)).list).toHaveLength(370);
  const seen: number[] = [];
  await eventually(async () => {
    const leases = await lease(parts, { maxContacts: 20 });
    seen.push(...leases.map(({ number }) => number));
    await reportAll(parts, leases, "completed");
    expect(seen).toHaveLength(listed);
  });
  expect(new Set(seen).size).toBe(listed);
  await expect(leaseOne(parts)).rejects.toThrow("no contact was leased");
  await reportAll(parts, held, "completed");
  expect(await worked(parts, jobId)).toEqual({ completed: 400, attempts: 400 });
  expect((await lookAt(parts, jobId)).row?.status).toBe("completed");
});
