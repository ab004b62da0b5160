import type { BatchJobRow } from "../../src/postgres/schema/tables.ts";
import { currentContacts } from "../../src/postgres/contacts/current-contacts.ts";
import type { Numbers, NumbersInSet } from "../../src/domain/contacts/numbers.ts";
import type { Parts } from "./parts.ts";

/** Everything there is of one job, to compare before and after. */
export type Whole = {
  row: BatchJobRow | undefined;
  contacts: { number: number; phone: string; status: string }[];
  list: string[];
  position: string | null;
  /** The due time of the entry that the row names. */
  entry: string | null;
};

export async function lookAt(parts: Parts, jobId: string): Promise<Whole> {
  const { db, redis, keys, caller } = parts;
  const row = await db.selectFrom("batch_jobs").selectAll().where("id", "=", jobId).executeTakeFirst();
  const key = { id: jobId, organizationId: caller.organizationId };
  // The position first: the numbers up to it are on the list by the time that the list is read.
  const position = await redis.get(keys.position(key));
  return {
    row,
    position,
    list: await redis.lrange(keys.contacts(key), 0, -1),
    contacts: await db
      .selectFrom(currentContacts.as("contacts"))
      .select(["number", "phone", "status"])
      .where("job_id", "=", jobId)
      .orderBy("number")
      .execute(),
    entry: await redis.zscore(keys.due, row?.scheduled_job_id ?? ""),
  };
}

/** A chunk of contacts that are all in set 0. */
export const inSet0 = (numbers: Numbers): NumbersInSet[] => [{ zoneSet: 0, numbers }];

/** "1" to "N", as they stand on a list. */
export const numbersTo = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i + 1));

/** How many things the sweep has put right, by rule; rules that put nothing right are absent. */
export async function repairs({ metrics }: Pick<Parts, "metrics">): Promise<Record<string, number>> {
  const { values } = await metrics.sweepRepairs.get();
  return Object.fromEntries(values.map(({ labels, value }) => [String(labels.rule), value]));
}
