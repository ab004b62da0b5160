import * as fc from "fast-check";
import { expect } from "vitest";
import { type ContactInput, type Outcome, outcomes } from "../../src/domain/contacts/contact.ts";
import { hoursAround, zoneAt } from "../support/hours.ts";
import { aNewJob, makeContacts, onJob } from "../support/make.ts";
import { refusal } from "../support/refusal.ts";
import { type Model, type ModelJob, aPendingContact, zoneHours, zonePlaceOf } from "./model.ts";
import {
  type Real,
  type Step,
  hasJobs,
  jobAt,
  leaseAll,
  replica,
  step,
  times,
  which,
  worker,
} from "./step.ts";

type Making = {
  count: number;
  limit: number;
  maxAttempts: number;
  retryOn: Outcome[];
  isStarted: boolean;
  /** In which of the zones of its contacts calls are allowed; undefined for a job without hours. */
  openZones?: readonly number[] | undefined;
};

/** Contacts numbered from here on, of a job with hours in zones of their own but for one in each of so many. */
const contactsOf = (count: number, before: number, hasZones: boolean): ContactInput[] =>
  makeContacts(count, before).map((contact, i) => {
    const place = zonePlaceOf(before + i + 1);
    const timezone = zoneAt(zoneHours[place] ?? 0);
    return hasZones && place > 0 ? { ...contact, timezone } : contact;
  });

const hoursIn = (openZones: readonly number[]) =>
  hoursAround(openZones.map((place) => zoneHours[place] ?? 0));

export async function createJob(model: Model, { replicas: [parts] }: Real, making: Making): Promise<void> {
  const { count, limit, maxAttempts, retryOn, openZones } = making;
  const contacts = contactsOf(count, 0, openZones !== undefined);
  const hours = openZones && { callingHours: hoursIn(openZones), timeZone: zoneAt(zoneHours[0] ?? 0) };
  const fields = { contacts, concurrentCallLimit: limit, maxAttempts, retryOn, ...hours };
  const { batchJobId: id } = await parts.jobs.create(onJob(parts, ""), aNewJob(fields));
  const job: ModelJob = {
    id,
    status: "pending",
    failureReason: null,
    revision: 1,
    limit,
    maxAttempts,
    retryOn,
    isToJudge: false,
    openZones,
    contacts: contacts.map(aPendingContact),
  };
  model.jobs.set(id, job);
  if (!making.isStarted) return;
  await parts.jobs.start(onJob(parts, id));
  model.change("start", job);
}

const openZones = fc.subarray([...zoneHours.keys()]);

const making = fc.record({
  count: fc.integer({ min: 1, max: 6 }),
  limit: fc.integer({ min: 1, max: 3 }),
  maxAttempts: fc.integer({ min: 1, max: 3 }),
  retryOn: fc.subarray([...outcomes]),
  isStarted: fc.oneof(fc.constant(true), fc.boolean()),
  openZones: fc.option(openZones, { nil: undefined }),
});

/** Lets calls be allowed in these zones, and in no others. */
export async function openIn(
  model: Model,
  { replicas }: Real,
  job: ModelJob,
  { places, on }: { places: readonly number[]; on: 0 | 1 },
): Promise<void> {
  await replicas[on].jobs.update(onJob(replicas[on], job.id), { callingHours: hoursIn(places) });
  model.openZones(job, places);
}

const inZones = (model: Model): ModelJob[] =>
  [...model.jobs.values()].filter((job) => job.openZones !== undefined && model.allows("update", job));

/** Hours end in some zones, and begin in others. */
const zones = step(
  "zones",
  fc.record({ which, replica, openZones }),
  async (model, real, { which: n, replica: on, openZones: places }) => {
    const job = inZones(model)[n % inZones(model).length];
    if (job !== undefined) await openIn(model, real, job, { places, on });
  },
  (model) => inZones(model).length > 0,
);

const openContacts = (job: ModelJob): number =>
  job.contacts.filter(({ status }) => status === "pending" || status === "waiting_retry").length;

/** A command on a job, while workers ask for contacts. What they got came before a pause or a cancellation. */
const command = (name: "start" | "pause" | "resume" | "cancel") =>
  step(
    name,
    fc.record({ which, replica, asking: fc.array(worker, { maxLength: 2 }) }),
    async (model, real, { which: n, replica: on, asking }) => {
      const job = jobAt(model, n);
      const parts = real.replicas[on];
      const isAllowed = model.allows(name, job);
      const call = parts.jobs[name](onJob(parts, job.id));
      const answer = isAllowed ? call : refusal(call);
      const [answered, leases] = await Promise.all([answer, leaseAll(real, asking)]);
      const startsFirst = name === "start" || name === "resume";
      if (isAllowed && startsFirst) model.change(name, job);
      model.open(leases);
      const told = "contactsCancelled" in answered ? answered.contactsCancelled : undefined;
      expect(told).toBe(isAllowed && name === "cancel" ? openContacts(job) : undefined);
      if (isAllowed && !startsFirst) model.change(name, job);
    },
    hasJobs,
  );

const add = step(
  "add",
  fc.record({ which, replica, count: fc.integer({ min: 1, max: 4 }) }),
  async (model, { replicas }, { which: n, replica: on, count }) => {
    const job = jobAt(model, n);
    const isAllowed = model.allows("add", job);
    const contacts = contactsOf(count, job.contacts.length, job.openZones !== undefined);
    const call = replicas[on].jobs.addContacts(onJob(replicas[on], job.id), contacts);
    await (isAllowed ? call : refusal(call));
    if (isAllowed) model.change("add", job, count);
  },
  hasJobs,
);

/** A change of what is retried. */
const update = step(
  "update",
  fc.record({
    which,
    replica,
    maxAttempts: fc.integer({ min: 1, max: 3 }),
    retryOn: fc.subarray([...outcomes], { minLength: 1 }),
  }),
  async (model, { replicas }, { which: n, replica: on, ...changes }) => {
    const job = jobAt(model, n);
    const isAllowed = model.allows("update", job);
    const call = replicas[on].jobs.update(onJob(replicas[on], job.id), changes);
    await (isAllowed ? call : refusal(call));
    if (isAllowed) model.update(job, changes);
  },
  hasJobs,
);

const remove = step(
  "delete",
  fc.record({ which, replica }),
  async (model, { replicas }, { which: n, replica: on }) => {
    const job = jobAt(model, n);
    const isAllowed = model.allows("delete", job);
    const call = replicas[on].jobs.delete(onJob(replicas[on], job.id));
    await (isAllowed ? call : refusal(call));
    if (isAllowed) model.jobs.delete(job.id);
  },
  hasJobs,
);

/** What a backend does; weighted by what it takes to come to many leases. */
export const jobSteps: fc.Arbitrary<Step>[] = [
  ...times(2, step("create", making, createJob)),
  ...(["start", "pause", "resume", "resume", "cancel"] as const).map(command),
  ...times(2, add),
  ...times(2, update),
  ...times(3, zones),
  remove,
];
