import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { createRows } from "../../src/console/features/jobs/rows.ts";
import { BatchJobSchema } from "../../src/gen/callsheet/v1/batch_job_pb.ts";

const jobOf = (batchJobId: string, revision: number) =>
  create(BatchJobSchema, { batchJobId, revision: BigInt(revision), name: `${batchJobId}${revision}` });

/** Rows of the jobs a and b, of which a is on the screen, and what they show. */
function someRows() {
  const rows = createRows();
  const both = rows.rowsOf([jobOf("a", 2), jobOf("b", 2)]);
  rows.onSeen("a", true);
  return { rows, shown: () => both.map(({ job }) => job.value.name) };
}

test("a row on the screen shows a change at once, and one that is not once somebody comes to it", () => {
  const { rows, shown } = someRows();
  for (const id of ["a", "b"]) rows.hear(jobOf(id, 3));
  expect(shown()).toEqual(["a3", "b2"]);
  rows.onSeen("b", true);
  expect(shown()).toEqual(["a3", "b3"]);
  rows.hear(jobOf("b", 4));
  expect(shown()).toEqual(["a3", "b4"]);
});

test("a row that has left the screen shows changes when all do that nobody sees", () => {
  const { rows, shown } = someRows();
  rows.onSeen("a", false);
  for (const id of ["a", "b"]) rows.hear(jobOf(id, 3));
  expect(shown()).toEqual(["a2", "b2"]);
  rows.catchUp();
  expect(shown()).toEqual(["a3", "b3"]);
});

test("a row shows the newest of what is known, whichever way it came", () => {
  const { rows, shown } = someRows();
  rows.hear(jobOf("a", 1));
  rows.hear(jobOf("b", 5));
  // The list was read before that.
  rows.rowsOf([jobOf("a", 3), jobOf("b", 4)]);
  expect(shown()).toEqual(["a3", "b5"]);
});

test("what is heard of a job that is in no row shows nowhere, and what was forgotten neither", () => {
  const { rows, shown } = someRows();
  rows.hear(jobOf("c", 3));
  rows.hear(jobOf("b", 3));
  rows.forget();
  rows.catchUp();
  expect(shown()).toEqual(["a2", "b2"]);
  expect(rows.rowsOf([jobOf("c", 2)]).map(({ job }) => job.value.name)).toEqual(["c2"]);
});
