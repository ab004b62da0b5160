import { sql } from "kysely";
import { checkAllowed } from "../../src/domain/jobs/batch-job.ts";
import { findJob } from "../../src/postgres/jobs/batch-jobs.ts";
import type { Database } from "../../src/postgres/connections/database.ts";
import type { BatchJobRow } from "../../src/postgres/schema/tables.ts";
import type { NumbersInSet } from "../../src/domain/contacts/numbers.ts";
import type { ContactList } from "../../src/redis/contact-list.ts";
import type { Position } from "../../src/redis/position.ts";
import type { JobKey } from "../../src/redis/keys.ts";
import type { Schedule } from "../../src/redis/schedule.ts";
import { currentContacts } from "../../src/postgres/contacts/current-contacts.ts";
import { inSet0 } from "../support/look.ts";
import { keyOf } from "../support/make-many.ts";
import type { Parts } from "../support/parts.ts";

/*
 * What the races would be without their guards: each does what its original in src does, but for the one condition
 * that keeps it safe.
 */

const now = sql<Date>`clock_timestamp()`;

/** A start that reads the status, without a lock, and then writes, without a condition. */
export async function startUnguarded(db: Database, { id, organization_id }: BatchJobRow): Promise<void> {
  const { status, counts } = await findJob(db, organization_id, id);
  checkAllowed("start", { id, status, dialing: counts.dialing });
  await db
    .updateTable("batch_jobs")
    .set({
      status: "running",
      started_at: now,
      finished_at: null,
      scheduled_job_id: null,
      revision: sql<number>`revision + 1`,
    })
    .where("id", "=", id)
    .execute();
}

/** A fan-out that looks at no status. */
export async function fanOutUnguarded(
  { db, contactList }: Pick<Parts, "db" | "contactList">,
  job: BatchJobRow,
): Promise<void> {
  const seen = await contactList.position(keyOf(job));
  if (seen === undefined) return;
  const rows = await db
    .selectFrom(currentContacts.as("contacts"))
    .select("number")
    .where("job_id", "=", job.id)
    .where("number", ">", seen.last)
    .orderBy("number")
    .execute();
  const numbers = rows.map(({ number }) => number);
  await contactList.append(keyOf(job), seen, numbers.at(-1) ?? seen.last, inSet0(numbers));
}

/** A list whose chunks are put on it wherever its position is by then. */
export function appendUnguarded({ contactList, redis, keys }: Parts): ContactList {
  return {
    ...contactList,
    async append(job: JobKey, { epoch }: Position, last: number, chunk: readonly NumbersInSet[]) {
      const each = chunk.flatMap(({ numbers }) =>
        "first" in numbers ? Array.from({ length: numbers.count }, (_, i) => numbers.first + i) : numbers,
      );
      await redis.rpush(keys.contacts(job), ...each);
      await redis.set(keys.position(job), `${epoch}:${last}`);
      return { appended: true, position: { epoch, last } };
    },
  };
}

/** A schedule whose claims leave the entries where they are. */
export function claimUnguarded({ schedule, redis, keys }: Parts): Schedule {
  return {
    ...schedule,
    async claim(nowMs: number, limit: number) {
      const due = await redis.zrange(keys.due, "-inf", String(nowMs), "BYSCORE", "LIMIT", 0, limit);
      return {
        entries: due.map((scheduledJobId) => ({ scheduledJobId, scheduledStartTimeMs: 0 })),
        nextDueMs: undefined,
      };
    },
  };
}
