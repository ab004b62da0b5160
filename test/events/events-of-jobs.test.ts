import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { type EventFilter, readEvents } from "../../src/postgres/events/events.ts";
import { readLog } from "../support/log-fold.ts";
import type { Parts } from "../support/parts.ts";
import { inNewOrganizations } from "../support/replicas.ts";

/* The log of some jobs among those of many. */

let parts: Parts;
inNewOrganizations((own) => (parts = own));

/** Events of commands and of attempts in turn, of these jobs in no order, as the log from 1,001 on, stored in none. */
async function writeLog(jobIds: readonly string[], count: number): Promise<void> {
  const { organizationId } = parts.caller;
  const jobId = sql`(${jobIds}::uuid[])[1 + (n::bigint * n + n / 3) % ${jobIds.length}::int]`;
  await sql`
    insert into events (organization_id, sequence, occurred_at, actor, type, request_id, batch_job_id)
    select ${organizationId}, 1000 + n, now(), 'service', case when n % 4 = 0 then 'batch_job.updated' else 'batch_job.paused' end,
      '', ${jobId}
    from generate_series(1, ${count}::int) n where n % 2 = 0 order by n % 7, n`.execute(parts.db);
  await sql`
    insert into attempts (
      organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome, sequence)
    select ${organizationId}, ${jobId}, n, 1, 0, '', now(), now(), now(), 'busy', 1000 + n
    from generate_series(1, ${count}::int) n where n % 2 = 1 order by n % 7, n`.execute(parts.db);
  await sql`
    insert into event_heads (organization_id, sequence) values (${organizationId}, ${1_000 + count})
    on conflict (organization_id) do update set sequence = excluded.sequence`.execute(parts.db);
}

const list = (batchJobIds: readonly string[], afterSequence = 0) =>
  parts.eventLog.list(parts.caller, { afterSequence, types: [], batchJobIds, pageSize: 0 });

/** The numbers that a reader sees who goes on where each page has ended. */
async function readOn(
  filter: EventFilter,
  bounds: { size: number; mostLookedAt: number },
): Promise<number[]> {
  const seen: number[] = [];
  for (let after = 0; ;) {
    const page = await readEvents(parts.db, parts.caller.organizationId, after, filter, bounds);
    expect(page.events.length).toBeLessThanOrEqual(bounds.size);
    expect(page.lastSequence).toBeGreaterThan(after);
    seen.push(...page.events.map(({ sequence }) => sequence));
    after = page.lastSequence;
    if (after === page.head.sequence) return seen;
  }
}

const someIds = (count: number): string[] => Array.from({ length: count }, () => randomUUID());

describe("a reader of the events of some jobs", () => {
  test("sees each once and in order, whatever a page holds and however many are looked at for it", async () => {
    const jobIds = someIds(7);
    await writeLog(jobIds, 120);
    const whole = await readLog(parts.db, parts.caller.organizationId);
    const someTypes = [[], ["batch_job.updated"], ["contact.attempt_ended", "batch_job.paused"]] as const;
    const someJobs = [jobIds.slice(0, 1), jobIds.slice(2, 5), [...someIds(1), ...jobIds]];
    for (const [size, mostLookedAt] of [
      [2, 1],
      [2, 10_000],
      [10, 20],
      [1_000, 20],
      [1_000, 10_000],
    ] as const) {
      for (const types of someTypes) {
        for (const batchJobIds of someJobs) {
          const seen = await readOn({ types, batchJobIds }, { size, mostLookedAt });
          const wanted = whole.filter(
            ({ batchJobId, type }) =>
              batchJobIds.includes(batchJobId ?? "") &&
              (types.length === 0 || types.some((one) => one === type)),
          );
          expect(seen).toEqual(wanted.map(({ sequence }) => sequence));
        }
      }
    }
  });

  test("has a job's few among many others in one call", async () => {
    const [busy = "", quiet = ""] = someIds(2);
    await writeLog([busy], 200_000);
    const { organizationId } = parts.caller;
    await sql`
      update events set batch_job_id = ${quiet}
      where organization_id = ${organizationId} and sequence in (1002, 51000, 201000)`.execute(parts.db);
    await sql`
      update attempts set job_id = ${quiet}
      where organization_id = ${organizationId} and sequence in (1001, 151001)`.execute(parts.db);
    // As the planner knows them: as good as all are of one job.
    await sql`analyze events, attempts`.execute(parts.db);
    const page = await list([quiet]);
    expect(page.events.map(({ sequence }) => sequence)).toEqual([1_001, 1_002, 51_000, 151_001, 201_000]);
    expect(page.lastSequence).toBe(201_000);
    expect((await list([quiet, busy], 200_990)).events).toHaveLength(10);
  });
});
