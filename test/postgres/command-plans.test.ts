import { randomBytes, randomUUID } from "node:crypto";
import { Kysely, PostgresDialect, sql } from "kysely";
import { expect, test } from "vitest";
import { paused } from "../../src/domain/jobs/job-state.ts";
import type { Trx } from "../../src/postgres/jobs/batch-jobs.ts";
import { lockForCommands, noteEntriesRemoved, writeCommands } from "../../src/postgres/jobs/commands.ts";
import { openPool } from "../../src/postgres/connections/database.ts";
import type { Tables } from "../../src/postgres/schema/tables.ts";
import { useFreshParts } from "../support/fresh.ts";
import { makeJobs } from "../support/make-many.ts";

const freshParts = useFreshParts();

type Touched = { table: string; read: number; found: number };

/** What this connection has touched and not yet made known: in this transaction and in some before it. */
const readTouched = async (trx: Trx): Promise<Map<string, Touched>> => {
  const { rows } = await sql<Touched>`
    select relname as table, seq_tup_read::int as read, idx_tup_fetch::int as found
    from pg_stat_xact_user_tables order by relname`.execute(trx);
  return new Map(rows.map((row) => [row.table, row]));
};

test("commands touch no more rows than they must, however the tables grow under planned statements", async () => {
  await using parts = await freshParts();
  await using stack = new AsyncDisposableStack();
  // What is written is not committed with it here, so that all of this is one transaction's.
  const pool = openPool({ url: parts.databaseUrl, size: 1 });
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  stack.defer(() => db.destroy());
  const { organizationId } = parts.caller;

  /** Pauses all of the jobs but the last one, which is deleted; answers which rows of which tables that touched. */
  async function work(jobIds: readonly string[]): Promise<Touched[]> {
    return await db.transaction().execute(async (trx) => {
      const before = await readTouched(trx);
      const keys = jobIds.map(() => ({
        organizationId,
        rpc: "PauseBatchJob",
        requestId: randomUUID(),
        fingerprint: randomBytes(32),
      }));
      const situation = await lockForCommands(trx, organizationId, { jobIds, requests: keys });
      const jobs = [...situation.jobs.values()];
      expect(jobs).toHaveLength(jobIds.length);
      await writeCommands(trx, organizationId, {
        now: situation.now,
        jobs: jobs.slice(1).map(paused),
        deletedIds: jobs.slice(0, 1).map(({ id }) => id),
        answers: keys.map((key) => ({ key, answer: {} })),
        events: jobs.map(({ id: batchJobId, revision }, i) => ({
          type: i === 0 ? "batch_job.deleted" : "batch_job.paused",
          actor: { apiKeyId: parts.caller.apiKeyId },
          requestId: keys[i]?.requestId ?? "",
          batchJobId,
          revision,
        })),
      });
      const again = { jobIds: [], requests: keys };
      const { kept } = await lockForCommands(trx, organizationId, again);
      expect(kept.size).toBe(jobIds.length);
      await noteEntriesRemoved(
        trx,
        organizationId,
        keys.map((key) => ({ key, removed: true })),
      );
      return [...(await readTouched(trx)).values()]
        .map(({ table, read, found }) => {
          const was = before.get(table) ?? { read: 0, found: 0 };
          return { table, read: read - was.read, found: found - was.found };
        })
        .filter(({ read, found }) => read + found > 0);
    });
  }

  const making = { status: "running", contacts: 1 } as const;
  const few = await makeJobs(parts, 2, making);
  // Planned now, and not again.
  await work(few.map(({ id }) => id));
  const many = await makeJobs(parts, 5_000, making);
  await sql`
    insert into requests (organization_id, rpc, request_id, fingerprint)
    select ${organizationId}::int, 'PauseBatchJob', n::text, '' from generate_series(1, 5000) n`.execute(db);

  const touched = await work(many.slice(0, 60).map(({ id }) => id));
  expect(touched.map(({ table }) => table)).toEqual([
    "batch_jobs",
    "event_heads",
    "organizations",
    "requests",
    "stored_contacts",
  ]);
  for (const { table, read, found } of touched) {
    expect.soft({ table, read }).toEqual({ table, read: 0 });
    // Once for each of the steps, and what their conditions look at.
    expect.soft(found, `rows of ${table}`).toBeLessThanOrEqual(4 * 60 + 20);
  }
});
