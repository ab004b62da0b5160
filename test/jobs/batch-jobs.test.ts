import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { NewJob } from "../../src/jobs/batch-jobs.ts";
import type { ContactInput } from "../../src/domain/contacts/contact.ts";
import { newTime, newTimeAt } from "../support/commands.ts";
import { everything } from "../support/everything.ts";
import { lookAt, numbersTo } from "../support/look.ts";
import { aNewJob, makeContacts, makeJob, makeWholeJob, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { refusal } from "../support/refusal.ts";
import { writeCalled } from "../support/contact-tables.ts";

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

const create = (fields: Partial<NewJob> = {}) =>
  parts.jobs.create({ caller: parts.caller, requestId: "", fingerprint: () => Buffer.of() }, aNewJob(fields));

const junk = (count: number): ContactInput[] =>
  Array.from({ length: count }, (_, i) => ({ phone: `junk ${i}`, name: "", fields: {} }));

/** The places of the rejected contacts that an answer shows, if all are rejected. */
const firstHundred = Array.from({ length: 100 }, (_, i) => i);

const contactsOf = async (jobId: string) => (await lookAt(parts, jobId)).contacts;

const numbered = (contacts: readonly ContactInput[], first = 1) =>
  contacts.map(({ phone }, i) => ({ number: first + i, phone, status: "pending" }));

describe("create", () => {
  test("a job without a start time waits, with all that was given", async () => {
    const answer = await create({
      name: "N\u00e4me",
      description: "line one\nline two",
      fromPhoneNumberId: "pn_7",
      concurrentCallLimit: 1000,
      maxAttempts: 10,
      retryOn: ["voicemail", "unknown"],
      retryDelaysMs: [0, 2_592_000_000],
      timeZone: "europe/kiev",
    });
    const { row, ...rest } = await lookAt(parts, answer.batchJobId);
    expect(answer).toEqual({
      batchJobId: row?.id,
      status: "pending",
      totalContacts: 3,
      scheduledJobId: null,
      scheduledStartTimeMs: null,
      rejectedCount: 0,
      rejected: [],
      entryRemoved: false,
    });
    expect(row).toMatchObject({
      organization_id: parts.caller.organizationId,
      name: "N\u00e4me",
      description: "line one\nline two",
      from_phone_number_id: "pn_7",
      status: "pending",
      failure_reason: null,
      revision: 1,
      timezone: "Europe/Kyiv",
      requested_start_time: null,
      scheduled_at: null,
      scheduled_job_id: null,
      started_at: null,
      finished_at: null,
      start_lag_ms: null,
      concurrent_call_limit: 1000,
      max_attempts: 10,
      retry_on: ["voicemail", "unknown"],
      retry_delays_ms: [0, 2_592_000_000],
      total_contacts: 3,
      pending_contacts: 3,
    });
    expect(rest).toEqual({ contacts: numbered(makeContacts(3)), list: [], position: null, entry: null });
  });

  test("a job with a start time has an entry at that instant", async () => {
    const answer = await create(newTime);
    const { row, entry } = await lookAt(parts, answer.batchJobId);
    expect(answer).toMatchObject({
      status: "scheduled",
      scheduledJobId: row?.scheduled_job_id,
      scheduledStartTimeMs: newTimeAt.getTime(),
    });
    expect(row).toMatchObject({
      status: "scheduled",
      scheduled_job_id: expect.any(String),
      scheduled_at: newTimeAt,
      requested_start_time: newTime.requestedStartTime,
      timezone: "Europe/Berlin",
    });
    expect(entry).toBe(String(newTimeAt.getTime()));
  });

  test("a job with no contacts at all is a job", async () => {
    const { batchJobId, totalContacts } = await create({ contacts: [] });
    expect(totalContacts).toBe(0);
    expect(await lookAt(parts, batchJobId)).toMatchObject({ row: { total_contacts: 0 }, contacts: [] });
  });

  test("a contact keeps its name and its fields", async () => {
    const fields = { "\u2603 key": "\u05E9\u05DC\u05D5\u05DD", empty: "", quote: `"'\\`, constructor: "x" };
    const { batchJobId } = await create({
      contacts: [{ phone: "+14155550100", name: "\u{1F469}\u200D\u{1F467}", fields }],
    });
    const { contacts } = await parts.jobs.listContacts(parts.caller, batchJobId, [], { size: 0, token: "" });
    expect(contacts).toEqual([
      {
        jobId: batchJobId,
        number: 1,
        phone: "+14155550100",
        name: "\u{1F469}\u200D\u{1F467}",
        fields,
        status: "pending",
        attempts: 0,
        lastOutcome: null,
        nextAttemptAt: null,
      },
    ]);
  });

  test("rejected contacts leave no gap in the numbers", async () => {
    const [a, b, c] = makeContacts(3);
    const given = [...junk(1), a, a, ...junk(1), b, c].filter((contact) => contact !== undefined);
    const { batchJobId, ...answer } = await create({ contacts: given });
    expect(answer).toMatchObject({
      totalContacts: 3,
      rejectedCount: 3,
      rejected: [
        { index: 0, phone: "junk 0", reason: "invalid_phone_format" },
        { index: 2, phone: "+14155000000", reason: "duplicate_phone" },
        { index: 3, phone: "junk 0", reason: "invalid_phone_format" },
      ],
    });
    expect(await contactsOf(batchJobId)).toEqual(numbered(makeContacts(3)));
  });

  test("the first 100 rejected contacts are shown, and all are counted", async () => {
    const { rejectedCount, rejected } = await create({ contacts: [...junk(250), ...makeContacts(1)] });
    expect(rejectedCount).toBe(250);
    expect(rejected.map(({ index }) => index)).toEqual(firstHundred);
  });

  test("a job whose contacts were all rejected is refused and not made", async () => {
    const before = await everything(parts);
    const contacts: ContactInput[] = [{ phone: "+14155550100", name: "\0", fields: {} }, ...junk(2)];
    expect(await refusal(create({ contacts }))).toEqual({
      reason: "no_valid_contacts",
      message:
        "All 3 contacts were rejected, the first as invalid_fields: its name must have at most 200 characters, none of them a control character such as a line end or a tab. Give at least one valid contact, or none at all.",
      metadata: { field: "contacts", rejectedContactsCount: "3", firstReason: "invalid_fields" },
    });
    expect(await everything(parts)).toEqual(before);
  });
});

describe("add contacts", () => {
  test("the numbers go on over several calls, in the order accepted", async () => {
    const { id } = await makeJob(parts, { contacts: 2 });
    const [second, third] = [makeContacts(3, 100).toReversed(), makeContacts(2, 50)];
    const add = (contacts: ContactInput[]) => parts.jobs.addContacts(onJob(parts, id), contacts);
    expect(await add([...junk(1), ...second])).toMatchObject({ acceptedCount: 3, totalContacts: 5 });
    expect(await add([...third, ...junk(1)])).toMatchObject({ acceptedCount: 2, totalContacts: 7 });
    expect(await contactsOf(id)).toEqual(numbered([...makeContacts(2), ...second, ...third]));
    expect((await lookAt(parts, id)).row).toMatchObject({
      total_contacts: 7,
      pending_contacts: 7,
      revision: 3,
    });
  });

  test("a phone that the job has already is a duplicate, and the first is kept", async () => {
    const { id } = await makeJob(parts, { contacts: 2 });
    const [known] = makeContacts(1, 1);
    const [fresh] = makeContacts(1, 9);
    const given = [...junk(1), known, fresh, fresh].filter((contact) => contact !== undefined);
    expect(await parts.jobs.addContacts(onJob(parts, id), given)).toMatchObject({
      acceptedCount: 1,
      totalContacts: 3,
      rejectedCount: 3,
      rejected: [
        { index: 0, phone: "junk 0", reason: "invalid_phone_format" },
        { index: 1, phone: known?.phone, reason: "duplicate_phone" },
        { index: 3, phone: fresh?.phone, reason: "duplicate_phone" },
      ],
    });
    expect(await contactsOf(id)).toEqual(numbered([...makeContacts(2), ...makeContacts(1, 9)]));
  });

  test("of thousands at once all are numbered on, but for those that the job has", async () => {
    const all = makeContacts(5_000);
    const known = [all[10], all[1_999], all[2_000], all[4_500]].flatMap((contact) => contact ?? []);
    const { batchJobId: id } = await parts.jobs.create(onJob(parts, ""), aNewJob({ contacts: known }));
    const added = await parts.jobs.addContacts(onJob(parts, id), all);
    expect(added).toMatchObject({ acceptedCount: 4_996, totalContacts: 5_000 });
    expect(added.rejected.map(({ index }) => index)).toEqual([10, 1_999, 2_000, 4_500]);
    const fresh = all.filter((contact) => !known.includes(contact));
    for (const number of [5, 2_003, 2_004, 5_000]) {
      const { contact } = await parts.jobs.getContact(parts.caller, id, number);
      expect(contact.phone).toBe(fresh[number - 5]?.phone);
    }
  });

  test("a phone of another job is no duplicate", async () => {
    await makeJob(parts, { contacts: 3 });
    const { id } = await makeJob(parts, { contacts: 0 });
    expect(await parts.jobs.addContacts(onJob(parts, id), makeContacts(3))).toMatchObject({
      acceptedCount: 3,
    });
  });

  test("a phone stays a duplicate when its contact is final", async () => {
    const job = await makeJob(parts, { contacts: 1 });
    await writeCalled(parts.db, job, [1], "busy");
    expect(await parts.jobs.addContacts(onJob(parts, job.id), makeContacts(1))).toMatchObject({
      acceptedCount: 0,
    });
  });

  test.each([
    ["duplicates", () => makeContacts(150)],
    ["wrong", () => junk(150)],
  ])("contacts that are all %s are answered with 0, and the job does not move", async (_, given) => {
    const { id } = await makeWholeJob(parts, { status: "running", contacts: 150 });
    const before = await everything(parts);
    const answer = await parts.jobs.addContacts(onJob(parts, id), given());
    expect(answer).toMatchObject({
      acceptedCount: 0,
      totalContacts: 150,
      toFanOut: null,
      rejectedCount: 150,
    });
    expect(answer.rejected.map(({ index }) => index)).toEqual(firstHundred);
    expect(await everything(parts)).toEqual(before);
  });

  test("of several calls at once none loses a number or takes a phone twice", async () => {
    const { id } = await makeJob(parts, { contacts: 0 });
    // Each call has ten phones in common with the next one.
    const calls = Array.from({ length: 8 }, (_, i) =>
      parts.jobs.addContacts(onJob(parts, id), makeContacts(20, 10 * i)),
    );
    const accepted = (await Promise.all(calls)).map(({ acceptedCount }) => acceptedCount);
    const contacts = await contactsOf(id);
    expect(accepted.reduce((sum, count) => sum + count, 0)).toBe(90);
    expect(contacts.map(({ number }) => number)).toEqual(Array.from({ length: 90 }, (_, i) => i + 1));
    expect(contacts.map(({ phone }) => phone).toSorted()).toEqual(makeContacts(90).map(({ phone }) => phone));
    expect((await lookAt(parts, id)).row).toMatchObject({ total_contacts: 90, pending_contacts: 90 });
  });
});

describe("10,000 contacts", () => {
  test("are numbered in the order given", async () => {
    const contacts = makeContacts(10_000).toReversed();
    const { batchJobId, totalContacts } = await create({ contacts });
    expect(totalContacts).toBe(10_000);
    expect(await contactsOf(batchJobId)).toEqual(numbered(contacts));
  });

  test("go onto the list of a running job", async () => {
    const job = await makeWholeJob(parts, { status: "running", contacts: 5 });
    const answer = await parts.jobs.addContacts(onJob(parts, job.id), makeContacts(10_000));
    await parts.fanOut.run({ id: job.id, organizationId: job.organization_id });
    expect(answer).toMatchObject({ acceptedCount: 9_995, totalContacts: 10_000, rejectedCount: 5 });
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(10_000));
  });
});
