import { describe, expect, test } from "vitest";
import { eventually } from "../../support/eventually.ts";
import { fileOf, joined, piecesOf } from "../../support/exports.ts";
import { useFreshParts } from "../../support/fresh.ts";
import { breakSnapshots, makeLong, openSnapshots } from "../../support/long-job.ts";
import { makeJob } from "../../support/make.ts";
import { makeCaller } from "../../support/organization.ts";
import type { Parts } from "../../support/parts.ts";
import { refusal } from "../../support/refusal.ts";

const freshParts = useFreshParts();

async function makeLongJob(parts: Parts) {
  const job = await makeJob(parts, { contacts: 0 });
  await makeLong(parts.db, job.id, 10_000);
  return job;
}

const noneIsOpen = ({ db }: Parts) => eventually(async () => expect(await openSnapshots(db)).toBe(0));

/** An export that has begun: its titles have been read. */
async function begin(parts: Parts, batchJobId: string, signal?: AbortSignal) {
  const pieces = piecesOf(parts, batchJobId, {}, signal);
  await pieces.next();
  return pieces;
}

describe("a reader", () => {
  test("that does not read holds no snapshot and no place for long, and is told so when it does", async () => {
    await using parts = await freshParts({ exportLimits: { idleMs: 500 } });
    const { id } = await makeLongJob(parts);
    const [pieces] = [await begin(parts, id), await begin(parts, id)];
    await noneIsOpen(parts);
    expect(await fileOf(parts, id)).not.toHaveLength(0);
    const told = await refusal(() => pieces.next());
    expect(told).toMatchObject({ reason: "limit_exceeded", metadata: { limit: "0.5s" } });
    expect(told.message).toMatch(/^Nothing of the file was read for 0.5 s/);
  });

  test("that reads slowly has a file broken off at its time, and is told which setting that is", async () => {
    await using parts = await freshParts({ exportLimits: { timeoutMs: 500 } });
    const pieces = await begin(parts, (await makeLongJob(parts)).id);
    await noneIsOpen(parts);
    const told = await refusal(() => joined(pieces));
    expect(told).toMatchObject({ reason: "limit_exceeded", metadata: { limit: "0.5s" } });
    expect(told.message).toMatch(/raise EXPORT_TIMEOUT/);
  });

  test("that leaves frees all that its export held", async () => {
    await using parts = await freshParts();
    const { id } = await makeLongJob(parts);
    const pieces = [await begin(parts, id), await begin(parts, id)];
    expect(await openSnapshots(parts.db)).toBe(2);
    for (const each of pieces) await each.return(undefined);
    await noneIsOpen(parts);
    // Its organization's places are free again.
    expect((await fileOf(parts, id)).toString()).toMatch(/5010000,x{199},pending,0,,,,,\r\n$/);
  });

  test("whose call is over hears why, and frees it, too", async () => {
    await using parts = await freshParts();
    const call = new AbortController();
    const pieces = await begin(parts, (await makeLongJob(parts)).id, call.signal);
    call.abort(new Error("the call is over"));
    await expect(pieces.next()).rejects.toThrow("the call is over");
    await noneIsOpen(parts);
  });

  test("whose snapshot is lost does not take what it has for the whole file", async () => {
    await using parts = await freshParts();
    const { id } = await makeLongJob(parts);
    const pieces = await begin(parts, id);
    await breakSnapshots(parts.db);
    await expect(joined(pieces)).rejects.toThrow(/terminat|connection/i);
    expect(await fileOf(parts, id)).not.toHaveLength(0);
  });
});

describe("exports at once", () => {
  test("are two of an organization; its third waits for one of them, and others do not", async () => {
    await using parts = await freshParts();
    const { id } = await makeLongJob(parts);
    const other = await makeCaller(parts);
    const theirs = await makeJob({ ...parts, caller: other }, { contacts: 1 });
    const [first, second] = [await begin(parts, id), await begin(parts, id)];
    let isThirdBegun = false;
    const third = begin(parts, id).then((pieces) => {
      isThirdBegun = true;
      return pieces;
    });
    expect(await fileOf(parts, theirs.id, { caller: other })).not.toHaveLength(0);
    expect(isThirdBegun).toBe(false);
    await first.return(undefined);
    await (await third).return(undefined);
    await second.return(undefined);
  });

  test("keep no place for one that left while it waited", async () => {
    await using parts = await freshParts();
    const { id } = await makeLongJob(parts);
    const open = [await begin(parts, id), await begin(parts, id)];
    const call = new AbortController();
    const waiting = begin(parts, id, call.signal);
    call.abort(new Error("the client has left"));
    await expect(waiting).rejects.toThrow("the client has left");
    for (const each of open) await each.return(undefined);
    const again = [await begin(parts, id), await begin(parts, id)];
    for (const each of again) await each.return(undefined);
    await noneIsOpen(parts);
  });
});
