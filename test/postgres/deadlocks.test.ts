import { expect, test } from "vitest";
import { sql } from "kysely";
import { openPool, overPool } from "../../src/postgres/connections/database.ts";
import { afterJob, lockOrganization } from "../../src/postgres/jobs/locks.ts";
import { writeLeaseId } from "../../src/domain/contacts/lease-id.ts";
import { lease, limitOrganization, release, report, reportAll, runJob } from "../leasing/leases.ts";
import { makeContacts } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { forNewOrganization, onTwoReplicas } from "../support/replicas.ts";

let parts: Parts;
let other: Parts;
onTwoReplicas((here, there) => {
  parts = here;
  other = there;
});

const extend = (on: Parts, some: readonly string[]) => on.leasing.extend(on.caller, some, 600_000);

test("many leases that are extended, reported, released and taken over at once, in any order, wait for nobody in a ring", async () => {
  await limitOrganization(parts, 10_000);
  for (let round = 0; round < 10; round += 1) {
    const jobIds = [];
    for (let job = 0; job < 2; job += 1) {
      jobIds.push(
        await runJob(parts, { contacts: makeContacts(500), concurrentCallLimit: 1_000, retryDelaysMs: [0] }),
      );
    }
    const asking = { requestId: `round ${round}`, maxContacts: 1_000, jobIds };
    const leases = await lease(parts, asking);
    expect(leases).toHaveLength(1_000);
    const ids = leases.map(({ leaseId }) => leaseId);
    const ended = await Promise.allSettled([
      extend(parts, ids),
      extend(other, ids.toReversed()),
      reportAll(parts, leases.slice(0, 400).toReversed(), "busy"),
      extend(parts, ids.toReversed()),
      release(other, ids.slice(300, 700)),
      reportAll(other, leases.slice(0, 500), "busy"),
      lease(other, asking),
      extend(other, ids),
    ]);
    expect(ended.filter(({ status }) => status === "rejected")).toEqual([]);
    for (const id of jobIds) {
      await sql`update batch_jobs set status = 'cancelled', finished_at = now() where id = ${id}`.execute(
        parts.db,
      );
    }
  }
});

test("a deadlock is told once for each statement that it ends", async () => {
  let deadlocks = 0;
  const pool = openPool({ url: parts.databaseUrl, size: 2 });
  const db = overPool(pool, { onDeadlock: () => (deadlocks += 1) });
  const [one, another] = [await runJob(parts), await runJob(parts)];
  const locked = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  async function lockBoth(ids: readonly [string, string], own: number): Promise<void> {
    await db.transaction().execute(async (trx) => {
      const lock = (id: string) =>
        trx.selectFrom("batch_jobs").select("id").where("id", "=", id).forUpdate().execute();
      await lock(ids[0]);
      locked[own]?.resolve();
      await Promise.all(locked.map(({ promise }) => promise));
      await lock(ids[1]);
    });
  }
  const ended = await Promise.allSettled([lockBoth([one, another], 0), lockBoth([another, one], 1)]);
  await db.destroy();
  expect(ended.filter(({ status }) => status === "rejected")).toMatchObject([{ reason: { code: "40P01" } }]);
  expect(deadlocks).toBe(1);
});

test("whoever has a job gives it back to one who has the organization and waits for it, as 0.2.0 does", async () => {
  const jobId = await runJob(parts);
  const { organizationId } = parts.caller;
  const hasJob = Promise.withResolvers<void>();
  const ownTurn = Promise.withResolvers<void>();
  let tries = 0;
  const before = parts.db.transaction().execute(async (trx) => {
    await lockOrganization(trx, organizationId);
    ownTurn.resolve();
    await hasJob.promise;
    await trx.selectFrom("batch_jobs").select("id").where("id", "=", jobId).forUpdate().execute();
    return "reported";
  });
  await ownTurn.promise;
  const after = afterJob(parts.db, organizationId, jobId, async (trx) => {
    tries += 1;
    hasJob.resolve();
    await lockOrganization(trx, organizationId);
    return "reported, too";
  });
  expect(await Promise.all([before, after])).toEqual(["reported", "reported, too"]);
  expect(tries).toBeGreaterThan(1);
});

test("a report about another organization's job waits for nobody who has locked that job", async () => {
  const jobId = await runJob(parts);
  const stranger = await forNewOrganization(parts);
  const leaseId = writeLeaseId({ jobId, number: 1, attempt: 1, nonce: 1 });
  const found = await parts.db.transaction().execute(async (trx) => {
    await trx.selectFrom("batch_jobs").select("id").where("id", "=", jobId).forUpdate().execute();
    return await report(stranger, [{ leaseId, outcome: "completed" }]);
  });
  expect(found).toEqual([{ kind: "gone" }]);
});
