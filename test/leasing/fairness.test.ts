import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lease } from "../../src/leasing/lease-round.ts";
import { eventually } from "../support/eventually.ts";
import { lookAt } from "../support/look.ts";
import { makeContacts } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { forNewOrganization } from "../support/replicas.ts";
import { lease, limitOrganization, reportAll, runJob } from "./leases.ts";

let shared: Parts;
beforeAll(async () => {
  shared = await startParts();
});
afterAll(() => shared[Symbol.asyncDispose]());

const countBy = (leases: readonly Lease[]): Record<string, number> =>
  Object.fromEntries([...Map.groupBy(leases, ({ jobId }) => jobId)].map(([id, own]) => [id, own.length]));

test("jobs take turns with a worker that asks for one contact at a time", async () => {
  const parts = await forNewOrganization(shared);
  const ids: string[] = [];
  for (let made = 0; made < 4; made += 1) ids.push(await runJob(parts, { contacts: makeContacts(10) }));
  const leases: Lease[] = [];
  for (let asked = 0; asked < 12; asked += 1) {
    const given = await lease(parts);
    leases.push(...given);
    await reportAll(parts, given, "completed");
  }
  expect(countBy(leases)).toEqual(Object.fromEntries(ids.map((id) => [id, 3])));
});

test("a job of ten is called beside a job of thousands", async () => {
  const parts = await forNewOrganization(shared);
  const large = await runJob(parts, { contacts: makeContacts(3_000), concurrentCallLimit: 1_000 });
  const small = await runJob(parts, { contacts: makeContacts(10), concurrentCallLimit: 1_000 });
  const leases: Lease[] = [];
  for (let asked = 0; asked < 20; asked += 1) leases.push(...(await lease(parts)));
  expect(countBy(leases)).toEqual({ [large]: 10, [small]: 10 });
});

test("what is asked for at once is shared among the jobs as evenly as they have contacts", async () => {
  const parts = await forNewOrganization(shared);
  const few = await runJob(parts, { contacts: makeContacts(2), concurrentCallLimit: 50 });
  const many = await runJob(parts, { contacts: makeContacts(100), concurrentCallLimit: 50 });
  const more = await runJob(parts, { contacts: makeContacts(100), concurrentCallLimit: 50 });
  const leases = await lease(parts, { maxContacts: 22 });
  expect(countBy(leases)).toEqual({ [few]: 2, [many]: 10, [more]: 10 });
});

test("more jobs than one round looks at all get their turn", async () => {
  const parts = await forNewOrganization(shared);
  await limitOrganization(parts, 1_000);
  const ids = await Promise.all(
    Array.from({ length: 70 }, () => runJob(parts, { contacts: makeContacts(2) })),
  );
  const leases: Lease[] = [];
  for (let asked = 0; asked < 70; asked += 1) leases.push(...(await lease(parts)));
  expect(countBy(leases)).toEqual(Object.fromEntries(ids.map((id) => [id, 1])));
});

test("a round looks at as many jobs as it takes to give what is asked for", async () => {
  const parts = await forNewOrganization(shared);
  await limitOrganization(parts, 1_000);
  const ids = await Promise.all(
    Array.from({ length: 120 }, (_, i) => runJob(parts, { contacts: makeContacts(1 + (i % 2)) })),
  );
  // A start does not wait for its list where the machine is busy.
  await eventually(async () => {
    const looks = await Promise.all(ids.map((id) => lookAt(parts, id)));
    expect(looks.filter(({ list }) => list.length === 0)).toEqual([]);
  });
  const first = await lease(parts, { maxContacts: 150 });
  expect(first).toHaveLength(150);
  const second = await lease(parts, { maxContacts: 150 });
  expect(second).toHaveLength(30);
  expect(new Set([...first, ...second].map(({ jobId }) => jobId))).toEqual(new Set(ids));
});

test("a job whose list is not there yet holds up no other job", async () => {
  const parts = await forNewOrganization(shared);
  const lost = await Promise.all(Array.from({ length: 5 }, () => runJob(parts)));
  for (const id of lost) {
    await parts.redis.unlink(parts.keys.contacts({ id, organizationId: parts.caller.organizationId }));
  }
  const whole = await runJob(parts);
  expect(await lease(parts)).toMatchObject([{ jobId: whole, number: 1 }]);
  expect(await lease(parts)).toMatchObject([{ jobId: whole, number: 2 }]);
});
