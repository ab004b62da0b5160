import { randomUUID } from "node:crypto";
import { type RawBuilder, sql } from "kysely";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { EventType } from "../../src/domain/event.ts";
import { type Database, openDatabase } from "../../src/postgres/connections/database.ts";
import { type RedisClient, openRedis } from "../../src/redis/connection.ts";
import { cloneDatabase } from "../support/database.ts";
import { notNow } from "../support/hours.ts";
import { makeJobs } from "../support/make-many.ts";
import { type History, createHistory, installHistory } from "./history.ts";
import { countUnavailable, databaseRules, judge } from "./oracle.ts";

/** What is done behind everybody's back to a job of three contacts that runs, with the limits of one lease. */
type Doctoring = (jobId: string) => RawBuilder<unknown>[];

const open = (jobId: string, number: number, attempt = 1) => [
  sql`insert into leases (
        organization_id, job_id, number, attempt, nonce, worker_id, request_id, leased_at, expires_at)
      select organization_id, id, ${number}, ${attempt}, 1, 'w', '', clock_timestamp(),
        clock_timestamp() + interval '1 minute'
      from batch_jobs where id = ${jobId}`,
];
const end = (jobId: string, number: number, outcome: string) => [
  sql`with ended as (delete from leases where job_id = ${jobId} and number = ${number} returning *)
      insert into attempts (
        organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome)
      select organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, clock_timestamp(),
        ${outcome}
      from ended`,
];
/** Says that there is this set, and that contacts are in it, though none is. */
const inZone = (jobId: string, zoneSet: number, zone: string) => [
  sql`insert into zone_sets (organization_id, job_id, zone_set, zones, is_own, contacts, pending_contacts)
      select organization_id, id, ${zoneSet}, array[${zone}::text], true, 1, 1 from batch_jobs where id = ${jobId}`,
];
const count = (jobId: string, status: string, by: number) => [
  sql`update batch_jobs set pending_contacts = pending_contacts - ${by}::int,
        ${sql.ref(`${status}_contacts`)} = ${sql.ref(`${status}_contacts`)} + ${by}::int where id = ${jobId}`,
  ...(status === "dialing" ? [sql`update organizations set dialing = dialing + ${by}::int`] : []),
];
/** Leases of all three, three seconds apart. */
const oneAfterTheOther = (jobId: string) => [
  ...[1, 2, 3].flatMap((number) => open(jobId, number)),
  ...count(jobId, "dialing", 3),
  sql`update leases set leased_at = leased_at - number * interval '3 seconds' where job_id = ${jobId}`,
];
const note = (jobId: string, columns: string, values: string) =>
  sql`insert into history.events (job_id, ${sql.raw(columns)}) values (${jobId}, ${sql.raw(values)})`;

const cases: Record<string, Doctoring> = {
  "a job starts once": (id) => [note(id, "kind, was, is_now", "'job', 'pending', 'running'")],
  "a job's status changes only as the table of states says": (id) => [
    note(id, "kind, was, is_now", "'job', 'completed', 'running'"),
  ],
  "no job starts before its time": (id) => [
    sql`delete from history.events`,
    note(
      id,
      "kind, was, is_now, due_at, start_lag_ms",
      "'job', 'scheduled', 'running', clock_timestamp() + interval '1 second', -1000",
    ),
  ],
  "the lag of a start is what it was": (id) => [
    sql`delete from history.events`,
    note(
      id,
      "kind, was, is_now, due_at, start_lag_ms",
      "'job', 'scheduled', 'running', clock_timestamp() - interval '1 minute', 7",
    ),
  ],
  "attempts of one contact never overlap": (id) => [
    sql`update organizations set lease_limit = 2`,
    sql`update batch_jobs set concurrent_call_limit = 2`,
    ...open(id, 1),
    ...count(id, "dialing", 1),
    note(id, "kind, number, attempt, nonce", "'opened', 1, 1, 2"),
    note(id, "kind, number, attempt, nonce", "'ended', 1, 1, 2"),
  ],
  "attempts of one contact are numbered without a gap": (id) => [
    ...open(id, 1, 2),
    ...count(id, "dialing", 1),
  ],
  "no contact is leased while its job does not run": (id) => [
    sql`update batch_jobs set status = 'paused' where id = ${id}`,
    ...open(id, 1),
    ...count(id, "dialing", 1),
  ],
  "no retry comes before its time": (id) => [
    note(
      id,
      "kind, number, attempt, was, is_now, due_at",
      "'contact', 1, 1, 'pending', 'waiting_retry', clock_timestamp() + interval '1 minute'",
    ),
    ...open(id, 1),
    ...count(id, "dialing", 1),
  ],
  "no more contacts of a job are leased at once than its limit": (id) => [
    sql`update organizations set lease_limit = 2`,
    ...open(id, 1),
    ...open(id, 2),
    ...count(id, "dialing", 2),
  ],
  "no more contacts of an organization are leased at once than its limit": (id) => [
    sql`update batch_jobs set concurrent_call_limit = 2`,
    ...open(id, 1),
    ...open(id, 2),
    ...count(id, "dialing", 2),
  ],
  "no more contacts of a job are leased at once than its growing limit allows then": (id) => [
    sql`update organizations set lease_limit = 3`,
    sql`update batch_jobs set concurrent_call_limit = 3, ramp_up_ms = 3600000, started_at = clock_timestamp()`,
    ...open(id, 1),
    ...open(id, 2),
    ...count(id, "dialing", 2),
  ],
  "no job begins more calls in a second than its pace allows": (id) => [
    sql`update organizations set lease_limit = 3`,
    sql`update batch_jobs set concurrent_call_limit = 3, calls_per_second = 0.5`,
    ...[1, 2, 3].flatMap((number) => open(id, number)),
    ...count(id, "dialing", 3),
  ],
  "no job begins more calls in ten seconds than its pace allows": (id) => [
    sql`update organizations set lease_limit = 3`,
    sql`update batch_jobs set concurrent_call_limit = 3, calls_per_second = 0.05`,
    ...oneAfterTheOther(id),
  ],
  "no organization begins more calls in ten seconds than its pace allows": (id) => [
    sql`update organizations set lease_limit = 3, calls_per_second = 0.05`,
    sql`update batch_jobs set concurrent_call_limit = 3`,
    ...oneAfterTheOther(id),
  ],
  "no organization begins more calls in a second than its pace allows": (id) => [
    sql`update organizations set lease_limit = 3, calls_per_second = 0.5`,
    sql`update batch_jobs set concurrent_call_limit = 3`,
    ...[1, 2, 3].flatMap((number) => open(id, number)),
    ...count(id, "dialing", 3),
  ],
  "no contact is leased once the end of its job has come": (id) => [
    ...open(id, 1),
    ...count(id, "dialing", 1),
    sql`update batch_jobs set end_at = clock_timestamp() - interval '1 second' where id = ${id}`,
  ],
  "every job whose end is past has ended": (id) => [
    sql`update batch_jobs set end_at = clock_timestamp() - interval '1 minute' where id = ${id}`,
  ],
  "only a paused job says why it has paused itself": (id) => [
    sql`update batch_jobs set pause_reason = 'pause_when' where id = ${id}`,
  ],
  "a contact becomes final once, unless a late report corrects an unknown": (id) => [
    note(id, "kind, number, was, is_now", "'contact', 1, 'busy', 'completed'"),
  ],
  "an outcome stays, unless a late report corrects an unknown": (id) => [
    note(id, "kind, number, was, is_now", "'corrected', 1, 'busy', 'completed'"),
  ],
  "every contact of a job that has ended is final": (id) => [
    sql`update batch_jobs set status = 'completed', finished_at = clock_timestamp() where id = ${id}`,
  ],
  "nobody is called again who was not to be": (id) => [
    ...open(id, 1),
    ...end(id, 1, "busy"),
    ...open(id, 1, 2),
    ...count(id, "dialing", 1),
  ],
  "the counts of a job are its rows": (id) => [
    sql`update batch_jobs set pending_contacts = 2, busy_contacts = 1 where id = ${id}`,
  ],
  "a job's sets of time zones are its rows": (id) => [
    sql`update batch_jobs set zone_sets = 1 where id = ${id}`,
  ],
  "a set of time zones counts the contacts that are in it": (id) => [
    sql`update batch_jobs set zone_sets = 1 where id = ${id}`,
    ...inZone(id, 1, "UTC"),
  ],
  "a retry, or a lease, is in the set of time zones of its contact, and due where it is looked for": (id) => [
    ...open(id, 1),
    ...count(id, "dialing", 1),
    sql`update leases set zone_set = 1 where job_id = ${id}`,
  ],
  "no contact is leased outside its hours": (id) => [
    sql`update batch_jobs set calling_hours = ${JSON.stringify(notNow())}::jsonb where id = ${id}`,
    ...open(id, 1),
    ...count(id, "dialing", 1),
  ],
  "an organization's count of erased phones is those that it has": () => [
    sql`update organizations set erased_phones = 1`,
  ],
  "an organization's count of suppressed phones is those that it has": () => [
    sql`update organizations set suppressed_phones = 1`,
  ],
  "an organization's count of leases is its open attempts": () => [sql`update organizations set dialing = 1`],
  "whoever waits for a retry is in the table of retries, and nobody else": (id) => [
    sql`insert into retries (organization_id, job_id, number, due_at)
        select organization_id, id, 1, clock_timestamp() from batch_jobs where id = ${id}`,
  ],
  "every scheduled job whose time is past has started": (id) => [
    sql`insert into batch_jobs (organization_id, name, description, from_phone_number_id, status, timezone, scheduled_at,
          scheduled_job_id, concurrent_call_limit, max_attempts, retry_on, retry_delays_ms)
        select organization_id, '', '', '', 'scheduled', 'UTC', clock_timestamp() - interval '1 minute', gen_random_uuid(), 1, 1,
          '{}', '{}' from batch_jobs where id = ${id}`,
  ],
};

const stack = new AsyncDisposableStack();
let database: Database;
let redis: RedisClient;
beforeAll(async () => {
  const { url } = stack.use(await cloneDatabase());
  database = openDatabase({ url, poolSize: 1 });
  stack.defer(() => database.destroy());
  redis = openRedis(inject("redisUrl"));
  stack.defer(() => redis.disconnect());
  if (redis.status !== "ready") await new Promise<void>((ready) => redis.once("ready", () => ready()));
  await installHistory(database);
});
afterAll(() => stack.disposeAsync());

/** A job of three contacts that runs, in a transaction that is rolled back. */
async function makeWorld() {
  const db = await database.startTransaction().execute();
  const { id: organizationId } = await db
    .insertInto("organizations")
    .values({ name: "default", lease_limit: 1 })
    .returning("id")
    .executeTakeFirstOrThrow();
  const caller = { apiKeyId: "", organizationId, role: "admin" as const };
  const [job] = await makeJobs({ db, caller }, 1, { status: "pending" });
  await sql`update batch_jobs set status = 'running', started_at = clock_timestamp(), concurrent_call_limit = 1`.execute(
    db,
  );
  return {
    db,
    redis,
    prefix: `test-${randomUUID()}`,
    history: createHistory(),
    jobId: job?.id ?? "",
    [Symbol.asyncDispose]: () => db.rollback().execute(),
  };
}

type World = Awaited<ReturnType<typeof makeWorld>>;
const broken = async (world: World) => [...new Set((await judge(world)).map(({ rule }) => rule))];

test("the oracle finds nothing where nothing is broken", async () => {
  await using world = await makeWorld();
  for (const statement of [
    ...open(world.jobId, 1),
    ...end(world.jobId, 1, "busy"),
    ...count(world.jobId, "busy", 1),
  ]) {
    await statement.execute(world.db);
  }
  expect(await judge(world)).toEqual([]);
});

test("each rule about what Postgres has written down is broken below", () => {
  expect(Object.keys(cases).toSorted()).toEqual(databaseRules.toSorted());
});

test.each(Object.entries(cases))("the oracle finds it where it is broken that %s", async (rule, doctor) => {
  await using world = await makeWorld();
  for (const statement of doctor(world.jobId)) await statement.execute(world.db);
  expect(await broken(world)).toEqual([rule]);
});

test("the oracle judges hours where a contact is", async () => {
  await using world = await makeWorld();
  const minute = new Date().getUTCHours() * 60;
  // Open from now for two hours in UTC, and in the middle of the night where the contact is.
  const hours = {
    windows: [{ days: [1, 2, 3, 4, 5, 6, 7], startMinute: minute, endMinute: Math.min(minute + 120, 1_440) }],
    exceptions: [],
    closeEarlyMs: 0,
  };
  const statements = [
    sql`update batch_jobs set calling_hours = ${JSON.stringify(hours)}::jsonb, zone_sets = 1 where id = ${world.jobId}`,
    ...inZone(world.jobId, 1, "Etc/GMT-10"),
    sql`update contact_blocks set zone_sets = '{1,0,0}' where job_id = ${world.jobId}`,
    sql`update zone_sets set pending_contacts = 0 where job_id = ${world.jobId}`,
    ...open(world.jobId, 1),
    sql`update leases set zone_set = 1 where job_id = ${world.jobId}`,
    ...count(world.jobId, "dialing", 1),
  ];
  for (const statement of statements) await statement.execute(world.db);
  expect(await broken(world)).toEqual(["no contact is leased outside its hours"]);
});

test("the oracle judges hours by the clock that was ahead then", async () => {
  await using world = await makeWorld();
  const now = Date.now();
  const day = (offset: number) => new Date(now + offset * 86_400_000).toISOString().slice(0, 10);
  const hours = {
    windows: [],
    exceptions: [7, 8].map((date) => ({ date: day(date), windows: [{ startMinute: 0, endMinute: 1_440 }] })),
    closeEarlyMs: 0,
  };
  const statements = [
    sql`update batch_jobs set calling_hours = ${JSON.stringify(hours)}::jsonb where id = ${world.jobId}`,
    ...open(world.jobId, 1),
    ...count(world.jobId, "dialing", 1),
  ];
  for (const statement of statements) await statement.execute(world.db);
  const ahead = { fromMs: now - 60_000, untilMs: now + 60_000, aheadMs: 7 * 86_400_000 };
  world.history.moved.push(ahead);
  expect(await judge(world)).toEqual([]);
  // The clock was moved on before that lease.
  world.history.moved.push({ ...ahead, aheadMs: 10 * 86_400_000 });
  expect(await broken(world)).toEqual(["no contact is leased outside its hours"]);
});

type Untrue = (jobId: string) => History["told"][number];

const answers: Record<string, Untrue> = {
  "contacts that are not there": (jobId) => ({ kind: "contacts", jobId, total: 4 }),
  "a start of another job": () => ({ kind: "started", jobId: randomUUID() }),
  "a cancellation": (jobId) => ({ kind: "cancelled", jobId }),
  "a change of a limit": (jobId) => ({ kind: "updated", jobId, limit: 7 }),
  "an outcome": () => ({
    kind: "reported",
    leaseId: "A".repeat(36),
    outcome: "completed",
    result: "recorded",
  }),
};

test.each(Object.entries(answers))("the oracle finds it where a client was told of %s", async (_, untrue) => {
  await using world = await makeWorld();
  world.history.told.push(untrue(world.jobId));
  expect(await broken(world)).toEqual(["what was answered is kept"]);
});

const give = (world: World, leaseId: string, fromMs: number, untilMs: number, number = 1) =>
  world.history.held.push({ worker: leaseId, jobId: world.jobId, number, leaseId, fromMs, untilMs });

describe("a contact in the hands of two workers, by what they were answered,", () => {
  test("is found, also where a third was between", async () => {
    await using world = await makeWorld();
    give(world, "first", 1_000, 9_000);
    give(world, "second", 2_000, 2_100);
    give(world, "third", 8_999, 20_000);
    expect((await judge(world)).map(({ rule }) => rule)).toEqual([
      "a contact is in one worker's hands at a time",
      "a contact is in one worker's hands at a time",
    ]);
  });

  test("is none where one follows the other, or the contacts are two", async () => {
    await using world = await makeWorld();
    give(world, "second", 2_000, 3_000);
    give(world, "first", 1_000, 2_000);
    give(world, "another", 1_500, 2_500, 2);
    expect(await judge(world)).toEqual([]);
  });
});

/** The contact's phone, suppressed from and until so many ms from now. */
async function suppressedWorld(fromMs: number, untilMs: number) {
  const world = await makeWorld();
  const { rows } = await sql<{ line: string }>`
    select split_part(contacts, E'\t', 1) as line from contact_blocks where job_id = ${world.jobId}`.execute(
    world.db,
  );
  const phones = [rows[0]?.line ?? ""];
  const now = Date.now();
  world.history.told.push({ kind: "suppressed", phones, fromMs: now + fromMs, untilMs: now + untilMs });
  for (const statement of [...open(world.jobId, 1), ...count(world.jobId, "dialing", 1)])
    await statement.execute(world.db);
  return world;
}

describe("a lease on a phone that nobody was to call", () => {
  test("is found", async () => {
    await using world = await suppressedWorld(-60_000, 60_000);
    expect(await broken(world)).toEqual(["nobody is leased whose phone is suppressed, from the answer on"]);
  });

  test.each([
    ["before", 60_000, 120_000],
    ["afterwards", -120_000, -60_000],
  ])("is none %s", async (_, fromMs, untilMs) => {
    await using world = await suppressedWorld(fromMs, untilMs);
    expect(await broken(world)).toEqual([]);
  });
});

test("the oracle finds a phone that was erased, wherever it is left", async () => {
  await using world = await makeWorld();
  world.history.told.push(
    { kind: "erased", phone: "+14155000000" },
    { kind: "erased", phone: "+4915123456789" },
  );
  expect(await broken(world)).toEqual(["nothing is left of a phone that was erased"]);
});

const bodyOf = (...sequences: number[]) =>
  JSON.stringify({
    data: {
      sequence: String(sequences.at(-1)),
      events: sequences.map((sequence) => ({ sequence: String(sequence) })),
    },
  });

/** An endpoint that asks for organizations, what its receiver took, and a log of it and of two changes of one. */
async function sentWorld({ lives = true } = {}) {
  const world = await makeWorld();
  const { rows } = await sql<{ id: string; organizationId: number }>`
    insert into webhook_endpoints (organization_id, url, description, secret, sequence, types, batch_job_ids)
    select id, '', '', '', 0, '{organization.updated}', '{}' from organizations where name = 'default'
    returning id, organization_id as "organizationId"`.execute(world.db);
  const [{ id, organizationId } = { id: "", organizationId: 0 }] = rows;
  await sql`
    insert into events (organization_id, sequence, occurred_at, type, actor, request_id, data)
    values (${organizationId}, 1, now(), 'webhook_endpoint.created', 'service', '', ${JSON.stringify({ webhookEndpointId: id })}),
      (${organizationId}, 2, now(), 'organization.updated', 'service', '', '{}'),
      (${organizationId}, 3, now(), 'organization.updated', 'service', '', '{}')`.execute(world.db);
  await sql`
    insert into event_heads (organization_id, sequence) values (${organizationId}, 3)
    on conflict (organization_id) do update set sequence = 3`.execute(world.db);
  const first = 2;
  const received: History["endpoints"][number]["received"] = [];
  world.history.endpoints.push({ id, name: "one", lives, types: ["organization.updated"], received });
  const take = (webhookId: string, sequences: number[], isTaken = true) =>
    void received.push({ id: webhookId, body: bodyOf(...sequences), isTaken });
  /** Two attempts, of which only the log of the second says anything in words; all are told of to another endpoint. */
  async function receiveAttempts(): Promise<(codes: [string, string], space?: number) => void> {
    await sql`
      insert into events (organization_id, sequence, occurred_at, type, actor, request_id, data)
      values (${organizationId}, 4, now(), 'contact.attempt_ended', 'worker', '', '{"errorCode": null}'),
        (${organizationId}, 5, now(), 'contact.attempt_ended', 'worker', '', '{"errorCode": "486"}')`.execute(
      world.db,
    );
    await sql`update event_heads set sequence = 5 where organization_id = ${organizationId}`.execute(
      world.db,
    );
    const own: History["endpoints"][number]["received"] = [];
    const types: EventType[] = ["contact.attempt_ended"];
    world.history.endpoints.push({ id, name: "two", lives, types, received: own });
    return (codes, space) => {
      const events = codes.map((errorCode, i) => ({
        sequence: String(i + 4),
        contactAttemptEnded: { errorCode, providerCallId: "" },
      }));
      own.push({
        id: "c",
        body: JSON.stringify({ data: { sequence: "5", events } }, null, space),
        isTaken: true,
      });
    };
  }
  const passed = sql`update webhook_endpoints set sequence = ${first + 1} where id = ${id}`;
  return Object.assign(world, { first, take, receiveAttempts, passed });
}

describe("of what is sent to an endpoint the oracle finds", () => {
  test("nothing where each event came, some of them twice", async () => {
    await using world = await sentWorld();
    const { first } = world;
    world.take("a", [first, first + 1], false);
    world.take("a", [first, first + 1]);
    world.take("b", [first]);
    expect(await judge(world)).toEqual([]);
  });

  test("the event that came and was not taken", async () => {
    await using world = await sentWorld();
    world.take("a", [world.first]);
    world.take("b", [world.first + 1], false);
    expect(await judge(world)).toEqual([
      {
        rule: "every event that an endpoint asks for arrives, or is still to come if its receiver is dead",
        detail: `one: ${world.first + 1}`,
      },
    ]);
  });

  test("another body under the same id", async () => {
    await using world = await sentWorld();
    world.take("a", [world.first]);
    world.take("a", [world.first + 1]);
    expect(await broken(world)).toEqual(["what comes under one id is one body, but for what is erased"]);
  });

  test("nothing where what was erased is gone from a body, but anything else that is another", async () => {
    await using world = await sentWorld();
    world.take("a", [world.first, world.first + 1]);
    const receive = await world.receiveAttempts();
    receive(["603", "486"]);
    receive(["", "486"]);
    expect(await judge(world)).toEqual([]);
    receive(["", ""]);
    receive(["", "486"]);
    expect(await judge(world)).toHaveLength(2);
    receive(["", "486"], 1);
    expect(await judge(world)).toHaveLength(3);
  });

  test("an event that it did not ask for", async () => {
    await using world = await sentWorld();
    world.take("a", [world.first - 1, world.first, world.first + 1]);
    expect(await broken(world)).toEqual(["nothing comes that an endpoint has not asked for"]);
  });

  test("a body in another order than that of the log", async () => {
    await using world = await sentWorld();
    world.take("a", [world.first + 1, world.first]);
    expect(await broken(world)).toEqual([
      "a body has its events in the order of the log, and says where it ends",
    ]);
  });

  test("that a dead one has lost what its place has passed", async () => {
    await using world = await sentWorld({ lives: false });
    expect(await judge(world)).toEqual([]);
    await world.passed.execute(world.db);
    expect((await judge(world)).map(({ detail }) => detail)).toEqual([
      `one: ${world.first}`,
      `one: ${world.first + 1}`,
    ]);
  });
});

test("the oracle counts why calls were unavailable", () => {
  const history = createHistory();
  const tried = { at: 0, rpc: "GetBatchJob", replica: "replica 1", ms: 1 };
  history.tried.push(
    { ...tried, end: "ok" },
    { ...tried, end: "unavailable", why: "connect ECONNREFUSED 127.0.0.1:4000" },
    { ...tried, end: "unavailable", why: "connect ECONNREFUSED 127.0.0.1:5000" },
    { ...tried, end: "unavailable", why: "The database does not answer; try again in a moment." },
  );
  expect([...countUnavailable(history)]).toEqual([
    ["connect ECONNREFUSED …", 2],
    ["The database does not answer; try again in a moment.", 1],
  ]);
});

test("the oracle finds what is left in Redis", async () => {
  await using world = await makeWorld();
  const { db, prefix, jobId } = world;
  await sql`update batch_jobs set status = 'cancelled', finished_at = clock_timestamp()`.execute(db);
  await redis.zadd(`${prefix}:{schedule}:due`, 1, randomUUID());
  await redis.set(`${prefix}:{org}:${jobId}:position`, "1.a:3");
  expect(await broken(world)).toEqual([
    "no entry of the schedule stands for nothing",
    "the keys of a job that does not run go by themselves",
  ]);
  await redis.unlink(`${prefix}:{schedule}:due`, `${prefix}:{org}:${jobId}:position`);
});
