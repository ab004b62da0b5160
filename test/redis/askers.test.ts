import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type Parts, startParts } from "../support/parts.ts";

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

let organizations = 100;
const anOrganization = () => (organizations += 1);

test("who asks for contacts of all jobs asks for those of each of them", async () => {
  const [organizationId, another] = [anOrganization(), anOrganization()];
  await parts.askers.note(organizationId, [], 60_000);
  expect(await parts.askers.has({ organizationId, id: randomUUID() })).toBe(true);
  expect(await parts.askers.has({ organizationId: another, id: randomUUID() })).toBe(false);
});

test("who asks for contacts of some jobs asks for no others", async () => {
  const organizationId = anOrganization();
  const ids = [randomUUID(), randomUUID()];
  await parts.askers.note(organizationId, ids, 60_000);
  const asked = [...ids, randomUUID()].map((id) => parts.askers.has({ organizationId, id }));
  expect(await Promise.all(asked)).toEqual([true, true, false]);
});

test("what was noted is over after its time, and leaves no key", async () => {
  const organizationId = anOrganization();
  const [brief, long] = [randomUUID(), randomUUID()];
  await parts.askers.note(organizationId, [long], 2_000);
  await parts.askers.note(organizationId, [brief, long], 1);
  await eventually(async () => expect(await parts.askers.has({ organizationId, id: brief })).toBe(false));
  expect(await parts.askers.has({ organizationId, id: long })).toBe(true);
  await eventually(async () => expect(await parts.redis.exists(parts.keys.asked(organizationId))).toBe(0));
});

test("of one organization no more than a thousand are kept, whatever workers ask for", async () => {
  const organizationId = anOrganization();
  for (let i = 0; i < 3; i++) {
    await parts.askers.note(
      organizationId,
      Array.from({ length: 1_000 }, () => randomUUID()),
      60_000,
    );
  }
  expect(await parts.redis.zcard(parts.keys.asked(organizationId))).toBe(1_000);
});
