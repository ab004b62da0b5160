import { sql } from "kysely";
import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { writeEvents } from "../../src/postgres/events/events.ts";
import { holdEndpoints } from "../../src/postgres/events/webhook-holders.ts";
import { eventJson } from "../../src/rpc/convert/events.ts";
import { settle } from "../../src/webhooks/settling.ts";
import { lease, reportAll, runJob } from "../leasing/leases.ts";
import { eventually } from "../support/eventually.ts";
import { useFreshParts } from "../support/fresh.ts";
import { readLog } from "../support/log-fold.ts";
import { aNewJob, makeContacts, onJob } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { type Inbox, sequencesIn, startInbox } from "./inbox.ts";
import {
  deliver,
  fillLog,
  headOf,
  inNewOrganization,
  letFail,
  makeDue,
  notTaken,
  request,
  toldOf,
  wanted,
  webhooksOf,
} from "./webhooks.ts";

const freshParts = useFreshParts();

/** An inbox that is an endpoint, and a replica that delivers to it. */
async function start(fields: Parameters<typeof wanted>[1] = {}) {
  await using stack = new AsyncDisposableStack();
  const shared = stack.use(await freshParts());
  const parts = await inNewOrganization(shared);
  const inbox = stack.use(await startInbox());
  const webhooks = webhooksOf(parts);
  const { endpoint, secret } = await webhooks.create(request(parts), wanted(inbox.url, fields));
  const { id } = endpoint;
  const delivering = new AsyncDisposableStack();
  delivering.use(deliver(parts));
  stack.use(delivering);
  const running = stack.move();
  return {
    parts,
    inbox,
    webhooks,
    id,
    secret,
    /** Starts another replica. */
    alsoDeliver: () => void running.use(deliver(parts)),
    /** Ends the delivery of the first one. */
    stop: () => delivering.disposeAsync(),
    now: () => webhooks.get(parts.caller, id),
    deliveries: async () =>
      (await webhooks.listDeliveries(parts.caller, id, { size: 0, token: "" })).deliveries,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

const createJob = async (parts: Parts) =>
  (await parts.jobs.create(onJob(parts, ""), aNewJob({ contacts: [] }))).batchJobId;

/** Has everything of the log from an event on come, each once, or as often as is said. */
const allCame = (parts: Parts, inbox: Inbox, from: number, times = 1) =>
  eventually(async () => {
    const to = await headOf(parts);
    const whole = Array.from({ length: to - from + 1 }, (_, i) => from + i);
    expect(sequencesIn(inbox.received)).toEqual(
      whole.flatMap((one) => Array.from({ length: times }, () => one)),
    );
  }, 20_000);

describe("an event", () => {
  test("comes by itself, signed, as the log has it in JSON", async () => {
    await using all = await start();
    const { parts, inbox, secret, id } = all;
    const batchJobId = await createJob(parts);
    await allCame(parts, inbox, 3);
    const event = (await readLog(parts.db, parts.caller.organizationId)).at(-1);
    if (event === undefined) throw new Error("the log is empty");
    const [one] = inbox.received.slice(-1);
    expect(one).toMatchObject({
      type: "batch_job.created",
      data: { batchJobId, sequence: String(event.sequence) },
    });
    expect(one?.data).toEqual(JSON.parse(JSON.stringify(eventJson(event))));
    expect(one?.timestamp).toBe(event.occurredAt.toISOString());
    const headers = one?.headers as Record<string, string>;
    expect(new Webhook(secret).verify(one?.body ?? "", headers)).toMatchObject({ type: "batch_job.created" });
    await eventually(async () => {
      expect(await all.now()).toMatchObject({ sequence: event.sequence, headSequence: event.sequence });
    });
    expect(await all.deliveries()).toEqual([]);
    expect((await all.now()).lastDeliveredAt).not.toBeNull();
    expect(id).toBe((await all.now()).id);
  });

  test("of an attempt comes with others, no more than 50 and no more bytes than may be", async () => {
    await using all = await start({ types: ["contact.attempt_ended"] });
    const { parts, inbox } = all;
    await runJob(parts, { contacts: makeContacts(130), concurrentCallLimit: 200, maxAttempts: 1 });
    await parts.db.updateTable("organizations").set({ lease_limit: 1_000 }).execute();
    const leases = await lease(parts, { maxContacts: 130, workerId: "w".repeat(100) });
    expect(leases).toHaveLength(130);
    await reportAll(parts, leases, "completed");
    const log = await readLog(parts.db, parts.caller.organizationId);
    const attempts = log.filter(({ type }) => type === "contact.attempt_ended");
    await eventually(() => {
      expect(sequencesIn(inbox.received)).toEqual(attempts.map(({ sequence }) => sequence));
    });
    for (const { type, data, body } of inbox.received) {
      expect(type).toBe("contact.attempts_ended");
      const events = data["events"] as { sequence: string; contactAttemptEnded: object }[];
      expect(events.length).toBeLessThanOrEqual(50);
      expect(data["sequence"]).toBe(events.at(-1)?.sequence);
      expect(Buffer.byteLength(body)).toBeLessThan(20_000);
      expect(events[0]).toMatchObject({ contactAttemptEnded: { outcome: "OUTCOME_COMPLETED" } });
    }
    expect(inbox.received.length).toBeLessThan(10);
  });

  test("that is asked for comes, and no other", async () => {
    await using all = await start();
    const { parts, inbox, webhooks, id } = all;
    const chosen = await createJob(parts);
    await allCame(parts, inbox, 3);
    const changes = { types: ["batch_job.cancelled"], batchJobIds: [chosen] };
    await webhooks.update(request(parts), id, changes);
    await eventually(async () => expect((await all.now()).sequence).toBe(await headOf(parts)));
    const another = await createJob(parts);
    await parts.jobs.cancel(onJob(parts, another));
    await parts.jobs.cancel(onJob(parts, chosen));
    const head = await headOf(parts);
    await eventually(() => expect(inbox.received.at(-1)).toMatchObject({ data: { sequence: String(head) } }));
    expect(sequencesIn(inbox.received)).not.toContain(head - 1);
    // It is where the log ends all the same.
    await eventually(async () => expect((await all.now()).sequence).toBe(head));
  });

  test("too large for a body comes without what else is to be known, and says so", async () => {
    await using all = await start();
    const { parts, inbox } = all;
    const data = { before: { name: "x".repeat(30_000) }, after: { name: "é".repeat(30_000) } };
    await parts.db
      .transaction()
      .execute((trx) =>
        writeEvents(trx, parts.caller.organizationId, [
          { type: "organization.updated", actor: "service", requestId: "r", data },
        ]),
      );
    await allCame(parts, inbox, 3);
    const last = inbox.received.at(-1);
    expect(last?.data).toMatchObject({ type: "organization.updated", requestId: "r", dataOmitted: true });
    expect(Buffer.byteLength(last?.body ?? "")).toBeLessThan(20_000);
  });
});

describe("what is not taken", () => {
  test("comes again with the same id and the same body, and is listed", async () => {
    await using all = await start({ types: ["batch_job.created"] });
    const { parts, inbox } = all;
    inbox.answerWith(() => 500);
    await createJob(parts);
    const failed = await eventually(async () => {
      const [one] = await all.deliveries();
      expect(one).toMatchObject({
        type: "batch_job.created",
        status: "pending",
        attempts: 1,
        httpStatus: 500,
        answer: "thanks",
        events: 1,
        lastSequence: await headOf(parts),
      });
      return one;
    });
    const waits = (failed?.dueAt?.getTime() ?? 0) - (failed?.attemptedAt?.getTime() ?? 0);
    expect(waits).toBeGreaterThanOrEqual(3_900);
    expect(waits).toBeLessThanOrEqual(6_100);
    expect(await all.now()).toMatchObject({ pendingDeliveries: 1, sequence: await headOf(parts) });
    expect((await all.now()).failingSince).not.toBeNull();
    inbox.answerWith(() => 204);
    await makeDue(parts);
    await eventually(async () => {
      expect(await all.deliveries()).toMatchObject([{ status: "delivered", attempts: 2, dueAt: null }]);
      expect(await all.now()).toMatchObject({ pendingDeliveries: 0, failingSince: null });
    });
    const [first, second] = inbox.received;
    expect(inbox.received).toHaveLength(2);
    expect([second?.id, second?.body]).toEqual([first?.id, first?.body]);
    expect(failed?.id).toBe(first?.id);
  });

  test("waits as long as its receiver asks for", async () => {
    await using all = await start();
    const { parts, inbox } = all;
    inbox.answerWith(() => ({ status: 503, headers: { "retry-after": "3600" } }));
    await createJob(parts);
    await eventually(async () => {
      const [one] = await all.deliveries();
      const waits = (one?.dueAt?.getTime() ?? 0) - (one?.attemptedAt?.getTime() ?? 0);
      expect(waits).toBeGreaterThanOrEqual(3_600_000);
    });
  });

  test("is given up after ten attempts, if others are taken", async () => {
    await using all = await start();
    const { parts, inbox } = all;
    inbox.answerWith(({ type }) => (type === "batch_job.created" ? 500 : 200));
    await createJob(parts);
    await eventually(async () => expect(await all.deliveries()).toHaveLength(1));
    await sql`update webhook_deliveries set attempts = 9`.execute(parts.db);
    await fillLog(parts, 1);
    await makeDue(parts);
    await eventually(async () => {
      expect(await all.deliveries()).toMatchObject([{ status: "failed", attempts: 10, dueAt: null }]);
    });
    expect(await all.now()).toMatchObject({ pendingDeliveries: 0, disabledReason: null });
  });

  test("is not given up while its endpoint does nothing but fail, until that is disabled after 120 hours", async () => {
    await using all = await start({ types: ["batch_job.created", "organization.updated"] });
    const { parts, inbox, webhooks, id } = all;
    await fillLog(parts, 1);
    await eventually(() => expect(inbox.received).toHaveLength(1));
    inbox.answerWith(() => 500);
    await createJob(parts);
    await eventually(async () => expect(await all.deliveries()).toHaveLength(1));
    await sql`update webhook_deliveries set attempts = 9`.execute(parts.db);
    const again = async (hours: number, attempts: number) => {
      await letFail(parts, hours);
      await makeDue(parts);
      await eventually(async () =>
        expect(await all.deliveries()).toMatchObject([{ status: "pending", attempts }]),
      );
    };
    const told = async () => (await toldOf(parts)).map(({ type }) => type).slice(1);
    await again(2, 10);
    await eventually(async () => expect(await told()).toEqual(["webhook_endpoint.failing"]));
    await again(1, 11);
    await again(30, 12);
    expect(await told()).toEqual(["webhook_endpoint.failing", "webhook_endpoint.failing"]);
    await again(90, 13);
    expect(await all.now()).toMatchObject({ disabledReason: "failing" });
    expect((await toldOf(parts)).at(-1)).toMatchObject({
      type: "webhook_endpoint.disabled",
      data: { webhookEndpointId: id, disabledReason: "failing" },
    });
    // It keeps its place, and goes on from there.
    await fillLog(parts, 5);
    const last = await headOf(parts);
    const count = inbox.received.length;
    inbox.answerWith(() => 200);
    await makeDue(parts);
    await webhooks.update(request(parts), id, { enabled: true });
    const head = await headOf(parts);
    await eventually(async () => {
      expect(await all.now()).toMatchObject({ sequence: head, pendingDeliveries: 0, disabledReason: null });
    });
    const after = sequencesIn(inbox.received.slice(count));
    expect(after.slice(-5)).toEqual([last - 4, last - 3, last - 2, last - 1, last]);
    expect(after).toHaveLength(6);
  });
});

test("410 disables an endpoint, to which nothing more is sent", async () => {
  await using all = await start();
  const { parts, inbox } = all;
  await allCame(parts, inbox, 3);
  const before = inbox.received.length;
  const { promise: answer, resolve: refuse } = Promise.withResolvers<number>();
  inbox.answerWith(() => answer);
  await fillLog(parts, 300);
  // As many as may be on their way have come before the first one is answered.
  await eventually(() => expect(inbox.received).toHaveLength(before + 20));
  refuse(410);
  await eventually(async () => expect(await all.now()).toMatchObject({ disabledReason: "gone" }));
  expect((await toldOf(parts)).at(-1)).toMatchObject({
    type: "webhook_endpoint.disabled",
    data: { disabledReason: "gone" },
  });
  await eventually(async () => expect((await all.deliveries())[0]).toMatchObject({ dueAt: null }));
  const count = inbox.received.length;
  // What was on its way then, and no more of what had been read.
  expect(count - before).toBeLessThanOrEqual(20);
  await fillLog(parts, 3);
  await makeDue(parts);
  // A test is sent all the same, so that its coming says that the others have not.
  const webhookId = await all.webhooks.sendTest(request(parts), all.id);
  await eventually(() => expect(inbox.received.at(-1)).toMatchObject({ id: webhookId }));
  expect(inbox.received).toHaveLength(count + 1);
});

test("a test is sent once, with the secret, and listed", async () => {
  await using all = await start({ types: ["api_key.revoked"] });
  const { parts, inbox, webhooks, id, secret } = all;
  inbox.answerWith(() => 500);
  const webhookId = await webhooks.sendTest(request(parts), id);
  await eventually(async () => {
    expect(await all.deliveries()).toMatchObject([{ id: webhookId, status: "failed", attempts: 1 }]);
  });
  expect(await all.now()).toMatchObject({ failingSince: null, pendingDeliveries: 0 });
  const [one] = inbox.received;
  expect(one).toMatchObject({ type: "webhook_endpoint.test", data: { webhookEndpointId: id } });
  new Webhook(secret).verify(one?.body ?? "", one?.headers as Record<string, string>);
  inbox.answerWith(() => 200);
  await webhooks.sendTest(request(parts), id);
  await eventually(async () => expect((await all.deliveries())[0]).toMatchObject({ status: "delivered" }));
  expect(inbox.received).toHaveLength(2);
});

test("an old secret signs beside the new one until it expires", async () => {
  await using all = await start();
  const { parts, inbox, webhooks, id, secret } = all;
  const { secret: fresh } = await webhooks.rotateSecret(request(parts), id);
  const isSignedWith = (one: string) => {
    const last = inbox.received.at(-1);
    try {
      new Webhook(one).verify(last?.body ?? "", last?.headers as Record<string, string>);
      return true;
    } catch {
      return false;
    }
  };
  const signedWith = async () => {
    await webhooks.sendTest(request(parts), id);
    const count = inbox.received.filter(({ type }) => type === "webhook_endpoint.test").length;
    await eventually(() =>
      expect(inbox.received.filter(({ type }) => type === "webhook_endpoint.test").length).toBe(count + 1),
    );
    return [isSignedWith(secret), isSignedWith(fresh)];
  };
  await eventually(async () => expect((await all.now()).sequence).toBe(await headOf(parts)));
  expect(await signedWith()).toEqual([true, true]);
  await sql`
    update webhook_endpoints set old_secret_expires_at = clock_timestamp(), revision = revision + 1`.execute(
    parts.db,
  );
  await eventually(async () => expect(await signedWith()).toEqual([false, true]));
});

test("an endpoint that is dead keeps its place, and has everything when it is back", async () => {
  await using all = await start();
  const { parts, inbox } = all;
  await allCame(parts, inbox, 3);
  inbox.answerWith(() => 500);
  await fillLog(parts, 2_000);
  const head = await headOf(parts);
  const ofLog = () => inbox.received.filter(({ type }) => type !== "webhook_endpoint.test").length;
  const seeTest = async () => {
    const webhookId = await all.webhooks.sendTest(request(parts), all.id);
    await eventually(() => expect(inbox.received.map(({ id }) => id)).toContain(webhookId));
  };
  await eventually(async () => {
    await sql`update webhook_deliveries set due_at = due_at + interval '1 hour'`.execute(parts.db);
    const count = ofLog();
    for (let i = 0; i < 3; i += 1) await seeTest();
    expect(ofLog()).toBe(count);
  }, 25_000);
  const { sequence, pendingDeliveries } = await all.now();
  expect(sequence).toBeLessThan(head - 500);
  expect(pendingDeliveries).toBeLessThan(1_200);
  const before = inbox.received.length;
  inbox.answerWith(() => 200);
  await makeDue(parts);
  await eventually(async () => {
    await makeDue(parts);
    expect(await all.now()).toMatchObject({ sequence: head, pendingDeliveries: 0, failingSince: null });
  }, 30_000);
  const taken = new Set(sequencesIn(inbox.received.slice(before)));
  for (let one = 4; one <= head; one += 1) expect(taken.has(one)).toBe(true);
});

test("a receiver that answers nothing holds up no other, of its organization or another", async () => {
  await using all = await start();
  const { parts, inbox } = all;
  const gate = Promise.withResolvers<number>();
  inbox.answerWith(() => gate.promise);
  // Together they would take all the room that there is.
  for (let i = 0; i < 10; i += 1) await all.webhooks.create(request(parts), wanted(inbox.url));
  await fillLog(parts, 100);
  await eventually(() => expect(inbox.received.length).toBeGreaterThan(200), 20_000);
  await using live = await startInbox();
  const elsewhere = await inNewOrganization(parts);
  await webhooksOf(parts).create(request(parts), wanted(live.url, { types: ["organization.updated"] }));
  await webhooksOf(elsewhere).create(
    request(elsewhere),
    wanted(live.url, { types: ["organization.updated"] }),
  );
  await fillLog(parts, 200);
  await fillLog(elsewhere, 200);
  await eventually(() => expect(sequencesIn(live.received)).toHaveLength(400), 20_000);
  expect(inbox.received.length).toBeLessThanOrEqual(11 * 20);
  gate.resolve(200);
});

/** Has the log begin here, as after the time that events are kept. */
const keepFrom = ({ db, caller }: Parts, sequence: number) =>
  sql`update event_heads set first_sequence = ${sequence} where organization_id = ${caller.organizationId}`.execute(
    db,
  );

test("events that are no longer kept are passed over, and that is told", async () => {
  await using all = await start();
  const { parts, inbox, webhooks, id } = all;
  await allCame(parts, inbox, 3);
  await eventually(async () => expect((await all.now()).sequence).toBe(await headOf(parts)));
  await webhooks.update(request(parts), id, { enabled: false });
  const { sequence: place } = await all.now();
  await fillLog(parts, 10);
  const head = await headOf(parts);
  await keepFrom(parts, head - 2);
  await webhooks.update(request(parts), id, { enabled: true });
  const missed = head - 3 - place;
  await eventually(async () => expect(await all.now()).toMatchObject({ missedEvents: missed }));
  expect(await toldOf(parts)).toContainEqual({
    type: "webhook_endpoint.events_missed",
    data: { webhookEndpointId: id, missedEvents: missed },
  });
  await eventually(() => expect(sequencesIn(inbox.received)).toContain(head + 1));
  expect(sequencesIn(inbox.received).filter((one) => one > place && one < head - 2)).toEqual([]);
});

test("what is no longer kept when a replay comes to it is passed over, and that is told", async () => {
  await using all = await start();
  const { parts, inbox, webhooks, id } = all;
  await fillLog(parts, 10);
  await allCame(parts, inbox, 3);
  await eventually(async () => expect((await all.now()).sequence).toBe(await headOf(parts)));
  // While it is disabled, no replay goes on.
  await webhooks.update(request(parts), id, { enabled: false });
  const before = inbox.received.length;
  await webhooks.replay(request(parts), id, { from: 4, to: 10 });
  await keepFrom(parts, 8);
  await webhooks.update(request(parts), id, { enabled: true });
  await eventually(async () => expect(await all.now()).toMatchObject({ replayTo: null, missedEvents: 4 }));
  expect(sequencesIn(inbox.received.slice(before)).filter((one) => one <= 10)).toEqual([8, 9, 10]);
  expect(await toldOf(parts)).toContainEqual({
    type: "webhook_endpoint.events_missed",
    data: { webhookEndpointId: id, missedEvents: 4 },
  });
  // All of another one is gone.
  await webhooks.update(request(parts), id, { enabled: false });
  await webhooks.replay(request(parts), id, { from: 8, to: 9 });
  await keepFrom(parts, 11);
  await webhooks.update(request(parts), id, { enabled: true });
  await eventually(async () => expect(await all.now()).toMatchObject({ replayTo: null, missedEvents: 6 }));
});

test("what is no longer kept is told also while something before it is on its way", async () => {
  await using all = await start();
  const { parts, inbox, id } = all;
  await allCame(parts, inbox, 3);
  const head = await headOf(parts);
  await eventually(async () => expect((await all.now()).sequence).toBe(head));
  const gate = Promise.withResolvers<number>();
  inbox.answerWith(() => gate.promise);
  await fillLog(parts, 1);
  await eventually(() => expect(sequencesIn(inbox.received)).toContain(head + 1));
  await keepFrom(parts, head + 5);
  await fillLog(parts, 5);
  // What is sent as a test is read after what comes.
  const webhookId = await all.webhooks.sendTest(request(parts), id);
  await eventually(() => expect(inbox.received.map((one) => one.id)).toContain(webhookId));
  gate.resolve(200);
  await eventually(async () => expect(await all.now()).toMatchObject({ missedEvents: 3 }));
  await eventually(() => expect(sequencesIn(inbox.received)).toContain(head + 6));
});

test("a replay sends a part of the log again under the same ids, beside what comes", async () => {
  await using all = await start();
  const { parts, inbox, webhooks, id } = all;
  await fillLog(parts, 10);
  await allCame(parts, inbox, 3);
  const ids = new Map(inbox.received.map((one) => [Number(one.data["sequence"]), one.id]));
  const before = inbox.received.length;
  await webhooks.replay(request(parts), id, { from: 5, to: 9 });
  const head = await headOf(parts);
  await eventually(() => expect(sequencesIn(inbox.received.slice(before))).toEqual([5, 6, 7, 8, 9, head]));
  for (const one of inbox.received.slice(before)) {
    const sequence = Number(one.data["sequence"]);
    expect(one.id).toBe(ids.get(sequence) ?? one.id);
  }
  await eventually(async () => {
    expect(await all.now()).toMatchObject({ replayAfter: null, replayTo: null, pendingDeliveries: 0 });
    expect((await all.deliveries()).map(({ status }) => status)).toEqual(Array(5).fill("delivered"));
  });
  await webhooks.replay(request(parts), id, { from: 9, to: 0 });
  await eventually(() =>
    expect(sequencesIn(inbox.received.slice(before)).filter((one) => one === 9)).toHaveLength(2),
  );
});

const taken = { ...notTaken, status: 200, failure: undefined };

/** The first attempt of a delivery, as it is settled. */
const anAttempt = (id: string, sent: typeof notTaken | typeof taken) => ({
  parcel: { id, type: "t", events: 1, firstSequence: 1, lastSequence: 1, body: "{}" },
  attempts: 1,
  isKept: true,
  sent,
});

test("what a replay sends beside the log is one delivery, of which an attempt that was taken counts", async () => {
  await using all = await start();
  const { parts, id, stop } = all;
  await stop();
  const { organizationId } = parts.caller;
  const holder = "00000000-0000-4000-8000-000000000001";
  await holdEndpoints(parts.db, holder);
  const { sequence } = await all.now();
  const ended = [
    anAttempt("a", notTaken),
    anAttempt("b", notTaken),
    anAttempt("a", notTaken),
    anAttempt("b", taken),
    anAttempt("b", notTaken),
  ];
  await settle(parts.db, { organizationId, id }, holder, {
    progress: { sequence, replay: undefined, hasDelivered: true },
    ended,
  });
  const kept = new Map((await all.deliveries()).map((one) => [one.id, one.status]));
  expect(kept).toEqual(
    new Map([
      ["a", "pending"],
      ["b", "delivered"],
    ]),
  );
  expect(await all.now()).toMatchObject({ pendingDeliveries: 1 });
});

describe("of two replicas", () => {
  test("one delivers to an endpoint, and the other goes on when it stops", async () => {
    await using all = await start();
    const { parts, inbox, stop } = all;
    await allCame(parts, inbox, 3);
    all.alsoDeliver();
    await fillLog(parts, 50);
    await allCame(parts, inbox, 3);
    await stop();
    await fillLog(parts, 50);
    await allCame(parts, inbox, 3);
    expect(inbox.received).toHaveLength(101);
  });

  test("the one that stops keeps what is on its way, and nothing comes twice", async () => {
    await using all = await start();
    const { parts, inbox, stop } = all;
    await allCame(parts, inbox, 3);
    const gate = Promise.withResolvers<number>();
    inbox.answerWith(() => gate.promise);
    const before = inbox.received.length;
    await fillLog(parts, 5);
    await eventually(() => expect(inbox.received.length).toBe(before + 5));
    const stopped = stop();
    gate.resolve(200);
    await stopped;
    all.alsoDeliver();
    await fillLog(parts, 1);
    await allCame(parts, inbox, 3);
  });

  test("the other sends what was on its way when the first one was gone", async () => {
    await using all = await start();
    const { parts, inbox, stop } = all;
    await allCame(parts, inbox, 3);
    const gate = Promise.withResolvers<number>();
    inbox.answerWith(() => gate.promise);
    const before = inbox.received.length;
    await fillLog(parts, 5);
    await eventually(() => expect(inbox.received.length).toBe(before + 5));
    await stop();
    inbox.answerWith(() => 200);
    all.alsoDeliver();
    await eventually(() => {
      const again = inbox.received.slice(before + 5);
      expect(again.map(({ id }) => id).toSorted()).toEqual(
        inbox.received
          .slice(before, before + 5)
          .map(({ id }) => id)
          .toSorted(),
      );
    }, 20_000);
    gate.resolve(200);
  });

  test("the one that holds an endpoint no more keeps nothing of it", async () => {
    await using all = await start();
    const { parts, id, stop } = all;
    await stop();
    const { organizationId } = parts.caller;
    const [mine, theirs] = ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"];
    await holdEndpoints(parts.db, theirs);
    const before = await all.now();
    const keep = (holder: string) =>
      settle(parts.db, { organizationId, id }, holder, {
        progress: { sequence: before.sequence + 1, replay: undefined, hasDelivered: false },
        ended: [anAttempt("msg_1", notTaken)],
      });
    expect(await keep(mine)).toBe(false);
    expect(await all.now()).toEqual(before);
    expect(await all.deliveries()).toEqual([]);
    expect(await keep(theirs)).toBe(true);
    expect(await all.now()).toMatchObject({ sequence: before.sequence + 1, pendingDeliveries: 1 });
  });
});
