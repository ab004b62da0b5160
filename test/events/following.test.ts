import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import type { LoggedEvent } from "../../src/domain/event.ts";
import type { EventQuery } from "../../src/events/event-log.ts";
import { type Told, createFollowing } from "../../src/events/following.ts";
import { writeEvents } from "../../src/postgres/events/events.ts";
import { leaseOne, report, runJob } from "../leasing/leases.ts";
import { counting } from "../support/counting.ts";
import { eventually } from "../support/eventually.ts";
import { aNewJob, makeContacts, onJob } from "../support/make.ts";
import { readLog } from "../support/log-fold.ts";
import type { Parts } from "../support/parts.ts";
import { forNewOrganization, onTwoReplicas } from "../support/replicas.ts";
import { refusal } from "../support/refusal.ts";

let all: Parts;
let other: Parts;
let parts: Parts;
onTwoReplicas((here, there) => {
  all = here;
  other = there;
});

const fresh = async () => (parts = await forNewOrganization(all));
const never = new AbortController().signal;

function follow(query: Partial<EventQuery> = {}, { following } = parts, signal = never) {
  const asked = { afterSequence: 0, types: [], batchJobIds: [], ...query };
  return following.follow(parts.caller, asked, signal)[Symbol.asyncIterator]();
}

type Stream = AsyncIterator<Told>;

/** The next events of a stream, so many at least. */
async function next(stream: Stream, count: number): Promise<LoggedEvent[]> {
  const events: LoggedEvent[] = [];
  while (events.length < count) {
    const { value, done } = await stream.next();
    if (done === true) throw new Error("the stream ended");
    events.push(...value.events.map((event) => ({ ...event, bytes: 0 })));
  }
  return events;
}

const create = async () => (await parts.jobs.create(onJob(parts, ""), aNewJob({ contacts: [] }))).batchJobId;

test("what is there comes first, then what comes, on any replica, each once and in order", async () => {
  await fresh();
  const streams = [follow(), follow({}, other)];
  const batchJobId = await runJob(parts, { contacts: makeContacts(2) });
  for (let i = 0; i < 2; i += 1) {
    const { leaseId } = await leaseOne(parts);
    await report(parts, [{ leaseId, outcome: "completed" }]);
  }
  const log = await readLog(parts.db, parts.caller.organizationId);
  expect(log.at(-1)).toMatchObject({ type: "batch_job.completed", batchJobId });
  for (const stream of streams) {
    expect(await next(stream, log.length)).toEqual(log);
    await stream.return?.();
  }
  const middle = follow({ afterSequence: 3 });
  expect(await next(middle, log.length - 3)).toEqual(log.slice(3));
  await create();
  expect(await next(middle, 1)).toMatchObject([{ sequence: log.length + 1, type: "batch_job.created" }]);
  await middle.return?.();
});

test("a stream says at once where the log ends, and has what is asked for alone", async () => {
  await fresh();
  const id = await create();
  const asked = { types: ["batch_job.cancelled"], batchJobIds: [id] };
  const stream = follow(asked);
  expect((await stream.next()).value).toMatchObject({ events: [], lastSequence: 2, headSequence: 2 });
  const another = await create();
  await parts.jobs.cancel(onJob(parts, another));
  await parts.jobs.cancel(onJob(parts, id));
  expect(await next(stream, 1)).toMatchObject([{ sequence: 5, type: "batch_job.cancelled", batchJobId: id }]);
  await stream.return?.();
});

const silence = (sequence: number) => ({ events: [], lastSequence: sequence, headSequence: sequence });

test("a stream that has nothing to tell says again and again where the log ends, and how far it has looked", async () => {
  await fresh();
  await using following = createFollowing({ db: parts.db, logger: parts.logger, signOfLifeMs: 50 });
  const stream = follow({ types: ["batch_job.deleted"] }, { ...parts, following });
  const life = async () => (await stream.next()).value as Told;
  const { sequence: last } = (await readLog(parts.db, parts.caller.organizationId)).at(-1) ?? { sequence: 0 };
  for (let i = 0; i < 3; i += 1) expect(await life()).toMatchObject(silence(last));
  // What is not asked for is not sent, and is behind the place from which a reader goes on.
  await create();
  await eventually(async () => expect(await life()).toMatchObject(silence(last + 1)));
  await stream.return?.();
});

test("a reader that knows more of the log than this replica goes on from there", async () => {
  await fresh();
  const first = follow();
  await first.next();
  for (let i = 0; i < 20; i += 1) {
    await create();
    const { head } = await parts.eventLog.list(parts.caller, {
      afterSequence: 0,
      types: [],
      batchJobIds: [],
      pageSize: 1,
    });
    const stream = follow({ afterSequence: head.sequence });
    expect((await stream.next()).value).toMatchObject({
      events: [],
      lastSequence: head.sequence,
      headSequence: head.sequence,
    });
    await stream.return?.();
  }
  await first.return?.();
});

test("a place in the log of which nobody knows what comes after it is refused", async () => {
  await fresh();
  expect(await refusal(follow({ afterSequence: 99 }).next())).toMatchObject({ reason: "invalid_argument" });
  await create();
  await parts.db
    .updateTable("event_heads")
    .set({ first_sequence: 3 })
    .where("organization_id", "=", parts.caller.organizationId)
    .execute();
  expect(await refusal(follow({ afterSequence: 1 }).next())).toMatchObject({ reason: "cursor_expired" });
});

const filler = { type: "organization.updated", actor: "service", requestId: "", data: {} } as const;
const fill = (count: number) =>
  parts.db.transaction().execute((trx) =>
    writeEvents(
      trx,
      parts.caller.organizationId,
      Array.from({ length: count }, () => filler),
    ),
  );

test("a reader that is slow has all in the end, and holds up no other", async () => {
  await fresh();
  const [slow, fast] = [follow(), follow()];
  await slow.next();
  await fast.next();
  for (let i = 0; i < 6; i += 1) await fill(1_000);
  await create();
  const log = await readLog(parts.db, parts.caller.organizationId);
  const sequences = log.map(({ sequence }) => sequence).slice(1);
  expect((await next(fast, sequences.length)).map(({ sequence }) => sequence)).toEqual(sequences);
  expect((await next(slow, sequences.length)).map(({ sequence }) => sequence)).toEqual(sequences);
  await Promise.all([slow.return?.(), fast.return?.()]);
});

test("those who follow one log share what is asked for it", async () => {
  await fresh();
  const { db, asked } = counting(parts.db);
  await using following = createFollowing({ db, logger: parts.logger });
  const streams = Array.from({ length: 50 }, () => follow({ afterSequence: 1 }, { ...parts, following }));
  for (const stream of streams) expect((await stream.next()).value).toMatchObject({ events: [] });
  const before = asked();
  const began = performance.now();
  await create();
  const events = await Promise.all(streams.map((stream) => next(stream, 1)));
  expect(new Set(events.flat().map(({ sequence }) => sequence)).size).toBe(1);
  const looks = Math.ceil((performance.now() - began) / 100) + 1;
  expect(asked() - before).toBeLessThanOrEqual(looks + 2);
  await Promise.all(streams.map((stream) => stream.return?.()));
  // Nobody follows any more, and nobody asks.
  await eventually(async () => {
    const soFar = asked();
    await delay(300);
    expect(asked()).toBe(soFar);
  });
});

test("streams end with the error that they are told, and when their callers go", async () => {
  await fresh();
  const stop = new AbortController();
  await using following = createFollowing({ db: parts.db, logger: parts.logger });
  const own = { ...parts, following };
  const [told, left] = [follow({}, own), follow({}, own, stop.signal)];
  await told.next();
  await left.next();
  const [first, second] = [told.next(), left.next()];
  stop.abort(new Error("its caller went"));
  await expect(second).rejects.toThrow("its caller went");
  following.fail(new Error("Postgres is away"));
  await expect(first).rejects.toThrow("Postgres is away");
});

test("an organization has a hundred streams at most on a replica", async () => {
  await fresh();
  const streams = Array.from({ length: 100 }, () => follow());
  for (const stream of streams) await stream.next();
  expect(await refusal(follow().next())).toMatchObject({
    reason: "limit_exceeded",
    metadata: { limit: "100" },
  });
  await streams[0]?.return?.();
  const again = follow();
  await again.next();
  await Promise.all([...streams, again].map((stream) => stream.return?.()));
});
