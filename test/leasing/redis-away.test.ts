import { expect, test } from "vitest";
import { settle, sweep } from "../starting/sweep/passes.ts";
import { makeContacts, onJob } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { onTwoReplicasInNewOrganizations } from "../support/replicas.ts";
import { lease, leaseOne, makeRetriesDue, release, reportAll, runJob } from "./leases.ts";

let parts: Parts;
/** Another replica, which cannot reach Redis. */
let cutOff: Parts;
onTwoReplicasInNewOrganizations((here, there) => {
  parts = here;
  cutOff = there;
  cutOff.redis.disconnect();
});

const keyOf = (id: string) => ({ id, organizationId: parts.caller.organizationId });

test("reports are recorded, jobs end and leases are extended while Redis is away", async () => {
  const jobId = await runJob(parts, { contacts: makeContacts(2) });
  const leases = await lease(parts, { maxContacts: 2 });
  const ids = leases.map(({ leaseId }) => leaseId);
  expect(await cutOff.leasing.extend(parts.caller, ids, 600_000)).toEqual(ids.map(() => expect.any(Date)));
  expect(await reportAll(cutOff, leases, "completed")).toMatchObject([
    { kind: "recorded" },
    { kind: "recorded" },
  ]);
  expect(await parts.jobs.get(parts.caller, jobId)).toMatchObject({
    status: "completed",
    counts: { completed: 2 },
  });
});

test("retries are leased while Redis is away, and first calls once it is back", async () => {
  const jobId = await runJob(parts, { contacts: makeContacts(2) });
  await reportAll(parts, [await leaseOne(parts)], "busy");
  expect(await lease(cutOff, { maxContacts: 10 })).toEqual([]);
  await makeRetriesDue(parts, jobId);
  expect(await lease(cutOff, { maxContacts: 10 })).toMatchObject([{ number: 1, attempt: 2 }]);
  expect(await lease(parts, { maxContacts: 10 })).toMatchObject([{ number: 2, attempt: 1 }]);
});

test("a contact that was released while Redis was away is found by the sweep", async () => {
  const jobId = await runJob(parts, { contacts: makeContacts(2) });
  const [first, second] = await lease(parts, { maxContacts: 2 });
  expect(await release(cutOff, [first?.leaseId ?? ""])).toEqual([true]);
  await reportAll(parts, second === undefined ? [] : [second], "completed");
  expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
  await settle(parts);
  await sweep(parts, 2);
  expect(await lease(parts, { maxContacts: 10 })).toMatchObject([{ jobId, number: 1, attempt: 1 }]);
});

test("numbers that a replica took and died with come back to the head of the list", async () => {
  const jobId = await runJob(parts, { contacts: makeContacts(4) });
  const key = keyOf(jobId);
  const [taken] = await parts.reservations.take(
    [{ list: { ...key, zoneSet: 0 }, count: 2 }],
    parts.clock.now(),
  );
  expect(taken).toEqual([1, 2]);
  expect(await parts.redis.lrange(parts.keys.contacts(key), 0, -1)).toEqual(["3", "4"]);
  await settle(parts);
  await sweep(parts, 3);
  expect(await parts.redis.lrange(parts.keys.contacts(key), 0, -1)).toEqual(["3", "4"]);

  const over = Math.floor(parts.clock.now()) - 1;
  await parts.redis.zadd(parts.keys.reserved(key), over, "1", over, "2");
  await sweep(parts, 1);
  expect((await parts.redis.lrange(parts.keys.contacts(key), 0, -1)).toSorted()).toEqual([
    "1",
    "2",
    "3",
    "4",
  ]);
  expect(await parts.redis.exists(parts.keys.reserved(key))).toBe(0);
  expect(await lease(parts, { maxContacts: 10 })).toHaveLength(4);
});

test("numbers that were opened and not settled are not opened again", async () => {
  const jobId = await runJob(parts, { contacts: makeContacts(3) });
  const key = keyOf(jobId);
  await lease(parts, { maxContacts: 2 });
  const over = Math.floor(parts.clock.now()) - 1;
  await parts.redis.zadd(parts.keys.reserved(key), over, "1", over, "2");
  await settle(parts);
  await sweep(parts, 1);
  expect(await lease(parts, { maxContacts: 10 })).toMatchObject([{ number: 3 }]);
  expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
});

test("a job whose keys are lost goes on where it was", async () => {
  const jobId = await runJob(parts, { contacts: makeContacts(4) });
  const [first] = await lease(parts, { maxContacts: 2 });
  await reportAll(parts, first === undefined ? [] : [first], "completed");
  const key = keyOf(jobId);
  await parts.redis.unlink(parts.keys.contacts(key), parts.keys.position(key), parts.keys.reserved(key));
  expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
  await settle(parts);
  await sweep(parts, 1);
  const given = await lease(parts, { maxContacts: 10 });
  expect(given.map(({ number }) => number)).toEqual([3, 4]);
  await parts.jobs.cancel(onJob(parts, jobId));
});
