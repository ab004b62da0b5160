import { describe, expect, test } from "vitest";
import { startSweep } from "../../../src/starting/sweep.ts";
import { eventually } from "../../support/eventually.ts";
import { useFreshParts } from "../../support/fresh.ts";
import { lookAt, numbersTo } from "../../support/look.ts";
import { makeJob, makeWholeJob, onJob } from "../../support/make.ts";
import type { Parts } from "../../support/parts.ts";

const freshParts = useFreshParts();

describe("the loop", () => {
  test("puts right what is wrong, removes what is no longer needed, and ends when disposed", async () => {
    await using parts = await freshParts();
    const running = await makeJob(parts, { status: "running" });
    const deleted = await makeWholeJob(parts, { contacts: 12_000 });
    await parts.jobs.delete(onJob(parts, deleted.id));
    const loop = startSweep(parts);
    await eventually(async () => {
      expect((await lookAt(parts, running.id)).list).toEqual(numbersTo(3));
      expect((await lookAt(parts, deleted.id)).contacts).toEqual([]);
      expect(await parts.db.selectFrom("deleted_jobs").selectAll().execute()).toEqual([]);
    });
    await loop[Symbol.asyncDispose]();
  });

  test("goes on after passes that failed, which are counted", async () => {
    await using parts = await freshParts();
    let failures = 1;
    const contactList: Parts["contactList"] = {
      ...parts.contactList,
      async look(...given) {
        failures -= 1;
        return failures < 0
          ? await parts.contactList.look(...given)
          : await Promise.reject(new Error("away"));
      },
    };
    const job = await makeJob(parts, { status: "running" });
    await using loop = startSweep({ ...parts, contactList });
    await eventually(async () => expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(3)));
    expect((await parts.metrics.sweepFailures.get()).values[0]?.value).toBe(1);
    await loop[Symbol.asyncDispose]();
  });
});
