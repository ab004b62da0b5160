import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { endLeases } from "../../src/postgres/leasing/lease-ends.ts";
import { type Offer, openLeases } from "../../src/postgres/leasing/leases.ts";
import { limitOrganization } from "../leasing/leases.ts";
import { eventually } from "../support/eventually.ts";
import { useFreshParts } from "../support/fresh.ts";
import { makeJob } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { findJob } from "../../src/postgres/jobs/batch-jobs.ts";
import { writeCalled } from "../support/contact-tables.ts";
import { offerOf } from "../support/offers.ts";

/*
 * What opens and ends leases, asked directly: whatever a replica believes or proposes, it gives no more than there is.
 */

const freshParts = useFreshParts();
const tenNumbers = Array.from({ length: 10 }, (_, i) => i + 1);
const taker = { workerId: "worker", requestId: "", ticket: 0, most: 10, durationMs: 120_000 };

const open = ({ db, caller }: Parts, offer: Offer) => openLeases(db, caller.organizationId, [offer], [taker]);

async function makeOffer(parts: Parts, { limit }: { limit: number }): Promise<Offer> {
  const { id: jobId } = await makeJob(parts, { status: "running", contacts: 10 });
  await parts.db
    .updateTable("batch_jobs")
    .set({ concurrent_call_limit: limit })
    .where("id", "=", jobId)
    .execute();
  return offerOf(jobId, tenNumbers);
}

describe("of ten numbers for ten", () => {
  test("so many are leased as the job's limit leaves room for, the first ones, and the rest is left", async () => {
    await using parts = await freshParts();
    const { leases, left } = await open(parts, await makeOffer(parts, { limit: 4 }));
    expect(leases.flat().map(({ number }) => number)).toEqual([1, 2, 3, 4]);
    expect(left).toEqual([[5, 6, 7, 8, 9, 10]]);
  });

  test("so many are leased as the organization's limit leaves room for, and the rest is left", async () => {
    await using parts = await freshParts();
    await limitOrganization(parts, 3);
    const { leases, left } = await open(parts, await makeOffer(parts, { limit: 100 }));
    expect(leases.flat().map(({ number }) => number)).toEqual([1, 2, 3]);
    expect(left).toEqual([[4, 5, 6, 7, 8, 9, 10]]);
    await limitOrganization(parts, 100);
  });

  test("none is leased while another transaction takes the organization's last room", async () => {
    await using parts = await freshParts();
    const offer = await makeOffer(parts, { limit: 100 });
    const opened = await parts.db.transaction().execute(async (trx) => {
      await sql`update organizations set dialing = lease_limit`.execute(trx);
      const opening = open(parts, offer);
      await eventually(async () => {
        const waiting = sql`
          select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
        expect((await waiting.execute(parts.db)).rows).not.toEqual([]);
      });
      return { opening };
    });
    expect((await opened.opening).leases).toEqual([[]]);
  });

  test("those are not leased that were called already", async () => {
    await using parts = await freshParts();
    const offer = await makeOffer(parts, { limit: 100 });
    const job = await findJob(parts.db, parts.caller.organizationId, offer.jobId);
    const total = job.totalContacts;
    const others = Array.from({ length: total - 2 }, (_, i) => i + 3);
    await writeCalled(parts.db, { organization_id: job.organizationId, id: job.id }, others, "completed");
    const { leases, left } = await open(parts, offer);
    expect(leases.flat().map(({ number }) => number)).toEqual([1, 2]);
    expect(left).toEqual([[]]);
  });

  test("those are not leased that somebody is calling", async () => {
    await using parts = await freshParts();
    const offer = await makeOffer(parts, { limit: 100 });
    await open(parts, { ...offer, numbers: [1, 2, 3] });
    const { leases, left } = await open(parts, offer);
    expect(leases.flat().map(({ number }) => number)).toEqual([4, 5, 6, 7, 8, 9, 10]);
    expect(left).toEqual([[]]);
  });
});

test("a lease whose time is not over is left alone by those who end what has run out", async () => {
  await using parts = await freshParts();
  const { leases } = await open(parts, await makeOffer(parts, { limit: 1 }));
  const endings = leases
    .flat()
    .map((lease) => ({ ...lease, outcome: "unknown" as const, details: undefined }));
  const ended = await endLeases(parts.db, parts.caller.organizationId, endings, { onlyExpired: true });
  expect(ended).toMatchObject({ contacts: [undefined], finished: [] });
});
