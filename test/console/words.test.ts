import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { wordsOf } from "../../src/console/features/job/overview/hold-words.ts";
import {
  contactStatusWords,
  jobStatusWords,
  outcomeWords,
  roleWords,
} from "../../src/console/ui/format/words.ts";
import {
  BatchJobSchema,
  BatchJobStatus,
  ContactStatus,
  Outcome,
} from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { HoldReason, HoldSchema } from "../../src/gen/callsheet/v1/hold_pb.ts";
import { Role } from "../../src/gen/callsheet/v1/options_pb.ts";

/** Without the one that is reported and ends no attempt. */
const outcomes = Object.fromEntries(Object.entries(Outcome).filter(([name]) => name !== "NOT_DIALED"));

const valuesOf = (all: Readonly<Record<string, number>>): number[] =>
  Object.values(all).filter((value) => value !== 0);

test.each([
  ["a status of jobs", BatchJobStatus, jobStatusWords],
  ["a status of contacts", ContactStatus, contactStatusWords],
  ["an outcome", outcomes, outcomeWords],
  ["a role", Role, roleWords],
] as const)("the console has a word for whatever the API has as %s", (_what, all, words) => {
  expect([...words.keys()].toSorted()).toEqual(valuesOf(all).toSorted());
});

const job = create(BatchJobSchema, { concurrentCallLimit: 5 });

test("the console says in words why contacts are not being called, whatever the reason, of one as of many", () => {
  for (const reason of valuesOf(HoldReason) as HoldReason[]) {
    const [one, many] = [1, 2].map((contacts) => wordsOf(create(HoldSchema, { reason, contacts }), job));
    expect(one).toMatch(/^(waits|is|was|has) /);
    expect(many).toMatch(/^(wait|are|were|have) /);
  }
});
