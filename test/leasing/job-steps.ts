import * as fc from "fast-check";
import { expect } from "vitest";
import { type Outcome, outcomes } from "../../src/domain/contact.ts";
import { aNewJob, makeContacts, onJob } from "../support/make.ts";
import { refusal } from "../support/refusal.ts";
import { type Model, type ModelJob, aPendingContact } from "./model.ts";
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
};

export async function createJob(model: Model, { replicas: [parts] }: Real, making: Making): Promise<void> {
  const { count, limit, maxAttempts, retryOn } = making;
  const contacts = makeContacts(count);
  const fields = { contacts, concurrentCallLimit: limit, maxAttempts, retryOn };
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
    contacts: contacts.map(aPendingContact),
  };
  model.jobs.set(id, job);
  if (!making.isStarted) return;
  await parts.jobs.start(onJob(parts, id));
  model.change("start", job);
}

const making = fc.record({
  count: fc.integer({ min: 1, max: 6 }),
  limit: fc.integer({ min: 1, max: 3 }),
  maxAttempts: fc.integer({ min: 1, max: 3 }),
  retryOn: fc.subarray([...outcomes]),
  isStarted: fc.oneof(fc.constant(true), fc.boolean()),
});

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
    const contacts = makeContacts(count, job.contacts.length);
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
  remove,
];
