import { sql } from "kysely";
import { expect } from "vitest";
import { eventually } from "../../support/eventually.ts";
import { repairs } from "../../support/look.ts";
import { type Parts, startParts } from "../../support/parts.ts";

/** A replica whose commands commit and cannot do their half in Redis. */
export async function cutOff(parts: Parts): Promise<Parts> {
  const other = await startParts({ beside: parts });
  other.redis.disconnect();
  return other;
}

/** Makes the last commands on all jobs so old that the sweep no longer leaves them to whoever gave them. */
export async function settle({ db }: Parts): Promise<void> {
  await db
    .updateTable("batch_jobs")
    .set({ updated_at: sql<Date>`clock_timestamp() - interval '1 minute'` })
    .execute();
}

/** Passes, each with the fan-outs that it asked for. */
export async function sweep(parts: Parts, passes: number): Promise<Record<string, number>> {
  for (let done = 0; done < passes; done += 1) {
    await parts.sweep.pass();
    const running = await parts.db
      .selectFrom("batch_jobs")
      .selectAll()
      .where("status", "=", "running")
      .execute();
    await eventually(() =>
      expect(running.filter((job) => parts.fanOut.isRunning(job.id)).map((job) => job.id)).toEqual([]),
    );
  }
  return await repairs(parts);
}

/** Asserts that nothing is left to put right. */
export async function expectQuiet(parts: Parts): Promise<void> {
  await settle(parts);
  const before = await repairs(parts);
  expect(await sweep(parts, 2)).toEqual(before);
}
