import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { type Command, jobStatuses } from "../../../src/domain/jobs/batch-job.ts";
import type { Caller } from "../../../src/domain/caller.ts";
import { newTime, newTimeAt } from "../../support/commands.ts";
import { eventually } from "../../support/eventually.ts";
import { lookAt } from "../../support/look.ts";
import { aNewJob, makeWholeJob } from "../../support/make.ts";
import { makeCaller } from "../../support/organization.ts";
import { type Parts, startParts } from "../../support/parts.ts";
import { describeRefusal } from "../../support/refusal.ts";
import { watched } from "./transactions.ts";

/*
 * A failure prints its seed. PROPERTY_SEED=<seed> runs that seed again; PROPERTY_SECONDS=<n> tries new ones for so
 * long.
 */
const seed = process.env["PROPERTY_SEED"];
const seconds = Number(process.env["PROPERTY_SECONDS"] ?? 8);

type Given = {
  readonly command: Exclude<Command, "add_contacts" | "update"> | "create";
  /** Which of the jobs; one more than there are is a job that is not there. */
  readonly job: number;
  readonly expectedRevision: number | undefined;
  /** Empty for none. */
  readonly requestId: string;
  /** Which of two requests is made under the id. */
  readonly variant: number;
};

const aJob = fc
  .record({ status: fc.constantFrom(...jobStatuses), contacts: fc.constantFrom(0, 1, 3) })
  .filter(({ status, contacts }) => contacts > 0 || !["completed", "failed"].includes(status));

const aCommand: fc.Arbitrary<Given> = fc.record({
  command: fc.constantFrom(
    "start" as const,
    "reschedule" as const,
    "pause" as const,
    "resume" as const,
    "cancel" as const,
    "delete" as const,
    "create" as const,
  ),
  job: fc.nat(3),
  expectedRevision: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined, freq: 2 }),
  requestId: fc.constantFrom("", "", "r-1", "r-2"),
  variant: fc.constantFrom(0, 0, 0, 1),
});

/** One of the two worlds in which the same is done: an organization with its jobs. */
type World = { readonly parts: Parts; readonly jobs: Parts["jobs"]; readonly ids: readonly string[] };

function call({ parts, jobs, ids }: World, given: Given): Promise<object> {
  const { command, job, expectedRevision, requestId, variant } = given;
  const batchJobId = ids[job] ?? "0a4e2f4a-9d47-4c9a-8f55-6f3d2f9f7c01";
  const asked = JSON.stringify([command, job, expectedRevision, variant]);
  const request = {
    caller: parts.caller,
    requestId,
    fingerprint: () => createHash("sha256").update(asked).digest(),
    batchJobId,
    expectedRevision,
  };
  if (command === "create")
    return jobs.create(request, aNewJob({ contacts: [], ...(variant === 1 ? newTime : {}) }));
  if (command === "reschedule") return jobs.reschedule(request, newTime);
  return jobs[command](request);
}

const endOf = (answer: Promise<object>): Promise<object> => answer.catch(describeRefusal);

const newTimes: ReadonlySet<string> = new Set([newTimeAt.toISOString(), String(newTimeAt.getTime())]);

/** Times are there or not, but for those that are given; ids are told apart by the order in which they come. */
function plainly(what: unknown, known: readonly string[]): unknown {
  const names = new Map(known.map((id, i) => [id, `known ${i}`]));
  const name = (id: string) => {
    const found = names.get(id) ?? `new ${names.size}`;
    names.set(id, found);
    return found;
  };
  const text = JSON.stringify(what, (key, value: unknown) => {
    if (/^(created_at|updated_at|started_at|finished_at|startedAtMs)$/.test(key)) return value !== null;
    if (/^organization(_i|I)d$/.test(key)) return "own";
    const isFirst = /^(scheduled_at|entry)$/.test(key) && value !== null && !newTimes.has(String(value));
    return isFirst ? "as at first" : value;
  });
  return JSON.parse(
    text
      .replaceAll(/[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}/g, name)
      .replaceAll(/"(\d+)\.n?[\da-f]{12}:(\d+)"/g, '"epoch of $1, at $2"'),
  );
}

const createdIn = (answers: readonly object[]): string[] =>
  answers.flatMap((answer) =>
    "totalContacts" in answer && "batchJobId" in answer ? String(answer.batchJobId) : [],
  );

/** All that there is of the world in the end. */
async function endOfWorld({ parts, ids }: World, answers: readonly object[]) {
  const { organizationId } = parts.caller;
  const jobs = [];
  // One after the other, so that their ids are met in the same order in both worlds.
  for (const id of [...ids, ...new Set(createdIn(answers))]) jobs.push(await lookAt(parts, id));
  const requests = await parts.db
    .selectFrom("requests")
    .select(["rpc", "request_id", "answer", "entry_removed"])
    .where("organization_id", "=", organizationId)
    .orderBy("rpc")
    .orderBy("request_id")
    .execute();
  return plainly({ answers, jobs, requests }, ids);
}

async function makeWorld(
  parts: Parts,
  makings: readonly { status: (typeof jobStatuses)[number]; contacts: number }[],
): Promise<World & { begun: number[] }> {
  const caller: Caller = await makeCaller(parts);
  const own = { ...parts, caller };
  const ids: string[] = [];
  for (const making of makings) ids.push((await makeWholeJob(own, making)).id);
  return { parts: own, ids, ...watched(own) };
}

test(
  "commands that are in hand together are answered, and leave everything, as the same commands one by one",
  async () => {
    await using parts = await startParts();
    const property = fc.asyncProperty(
      fc.array(aJob, { minLength: 1, maxLength: 3 }),
      fc.array(aCommand, { minLength: 2, maxLength: 12 }),
      async (makings, commands) => {
        const together = await makeWorld(parts, makings);
        const apart = await makeWorld(parts, makings);
        const answers = await Promise.all(commands.map((given) => endOf(call(together, given))));
        const expected: object[] = [];
        for (const given of commands) expected.push(await endOf(call(apart, given)));
        expect(together.begun).toHaveLength(1);
        const as = await endOfWorld(apart, expected);
        // A list that was begun for a job that does not run any more is taken away a moment later.
        await eventually(async () => expect(await endOfWorld(together, answers)).toEqual(as), 2_000);
      },
    );
    const end = performance.now() + (seed === undefined ? seconds * 1_000 : 0);
    let next = seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(seed);
    do {
      await fc.assert(property, { seed: next, numRuns: 20, endOnFailure: seed === undefined });
      next += 1;
    } while (performance.now() < end);
  },
  seed === undefined ? (seconds + 120) * 1_000 : 600_000,
);
