import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { sql } from "kysely";
import { expect, test } from "vitest";
import { ensureOrganization } from "../../src/postgres/api-keys.ts";
import { makeJobs } from "../support/make-many.ts";
import type { Replica } from "../support/replica.ts";
import { sized } from "./scale.ts";
import { type System, settled } from "./system.ts";
import { useSystem } from "./use-system.ts";

const jobCount = sized(2_000, 10_000);
const dayMs = 24 * 3_600_000;
const longestMs = sized(120_000, 600_000);

let system: System;
useSystem({ seed: 11 }, (started) => (system = started));

/** Each is done in the middle of a call, three times. */
const harms: Record<string, (replica: Replica) => Promise<void>> = {
  "its replica is killed": async (replica) => {
    await replica.kill();
    await replica.start();
  },
  "Postgres is killed": async () => {
    await system.servers.postgres.kill();
    await system.servers.postgres.start();
  },
  "its caller leaves": async () => {},
};

/** Asks one replica after the other until one comes to the end; answers which jobs were moved, and their count. */
async function moveAll(harm: (replica: Replica) => Promise<void>) {
  const random = system.randomOf("mass moves");
  const request = {
    requestId: randomUUID(),
    // Each job leaves it when it is moved.
    filter: { scheduledStartTime: { to: timestampFromMs(Date.now() + dayMs / 2) } },
    shift: durationFromMs(dayMs),
  };
  const moved = new Map<string, Set<string>>();
  const until = performance.now() + longestMs;
  let harmed = 0;
  for (let turn = 0; performance.now() < until; turn += 1) {
    const replica = system.replicas[turn % system.replicas.length];
    if (replica === undefined) throw new Error("there are no replicas");
    const harmAfter = harmed < 3 ? random.between(1, jobCount / 2) : Infinity;
    let seen = 0;
    try {
      for await (const { part } of replica.clients.jobs.rescheduleBatchJobs(request)) {
        if (part.case === "summary") return { moved, harmed, ...part.value };
        if (part.case === "moved") {
          const { batchJobId, newScheduledJobId } = part.value;
          moved.set(batchJobId, (moved.get(batchJobId) ?? new Set()).add(newScheduledJobId));
        }
        seen += 1;
        if (seen < harmAfter) continue;
        harmed += 1;
        await harm(replica);
        break;
      }
    } catch {
      await delay(100);
    }
  }
  throw new Error("no call came to its end");
}

test.each(Object.entries(harms))(
  `${jobCount} jobs are moved by one request, each once, where %s`,
  async (_, harm) => {
    const before = await system.withDatabase(async (db) => {
      const organizationId = await ensureOrganization(db, "default");
      const caller = { apiKeyId: "", organizationId, role: "admin" as const };
      return await makeJobs({ db, caller }, jobCount, { status: "scheduled", contacts: 1 });
    });
    const ids = before.map(({ id }) => id);
    const { moved, harmed, movedCount, refusedCount } = await moveAll(harm);
    expect({ harmed, movedCount, refusedCount }).toEqual({
      harmed: 3,
      movedCount: jobCount,
      refusedCount: 0,
    });
    expect([...moved.keys()].toSorted()).toEqual(ids.toSorted());

    await system.withDatabase(async (db) => {
      const rows = await db.selectFrom("batch_jobs").selectAll().where("id", "in", ids).execute();
      const startOf = new Map(before.map((job) => [job.id, Number(job.scheduled_at)]));
      expect(rows.filter(({ revision }) => revision !== 2)).toEqual([]);
      expect(rows.filter((row) => Number(row.scheduled_at) !== (startOf.get(row.id) ?? 0) + dayMs)).toEqual(
        [],
      );
      // What was told once was told again.
      const entries = rows.map((row) => [row.id, new Set([row.scheduled_job_id])]);
      expect(new Map(entries as [string, Set<string>][])).toEqual(moved);
      const told = await sql<{ count: number; jobs: number }>`
        select count(*)::int as count, count(distinct batch_job_id)::int as jobs from events
        where type = 'batch_job.scheduled' and batch_job_id = any (${ids}::uuid[])
      `.execute(db);
      expect(told.rows).toEqual([{ count: jobCount, jobs: jobCount }]);
    });
    expect(await settled(system)).toEqual([]);
    expect(system.badLogLines()).toEqual([]);
  },
  2 * longestMs,
);
