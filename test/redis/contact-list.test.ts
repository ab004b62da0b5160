import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { RedisError, mastersOf } from "../../src/redis/connection.ts";
import { createContactList } from "../../src/redis/contact-list.ts";
import { type Position, revisionOf } from "../../src/redis/position.ts";
import type { JobKey } from "../../src/redis/keys.ts";
import { useFreshParts } from "../support/fresh.ts";
import { inSet0, numbersTo } from "../support/look.ts";
import type { Parts } from "../support/parts.ts";
import { keysUnder } from "../support/redis-keys.ts";

const freshParts = useFreshParts();
let organizations = 0;
const aJob = (): JobKey => ({ id: randomUUID(), organizationId: (organizations += 1) });

const listOf = async ({ redis, keys }: Parts, job: JobKey): Promise<string[]> =>
  await redis.lrange(keys.contacts(job), "0", "-1");

async function positionOf({ contactList }: Parts, job: JobKey): Promise<Position> {
  const position = await contactList.position(job);
  if (position === undefined) throw new Error("the job has no position");
  return position;
}

/** A job that runs since `revision`, with numbers 1 to 3 on its list. */
async function makeList(parts: Parts, revision = 5): Promise<{ job: JobKey; position: Position }> {
  const job = aJob();
  await parts.contactList.create(job, revision);
  await parts.contactList.append(job, await positionOf(parts, job), 3, inSet0([1, 2, 3]));
  return { job, position: await positionOf(parts, job) };
}

const whole = async (parts: Parts, job: JobKey) => ({
  position: await parts.contactList.position(job),
  list: await listOf(parts, job),
});

describe("create", () => {
  test("gives a job a position at 0 under an epoch of its revision", async () => {
    await using parts = await freshParts();
    const job = aJob();
    expect(await parts.contactList.position(job)).toBeUndefined();
    expect(await parts.contactList.create(job, 7)).toBe(true);
    expect(await parts.contactList.position(job)).toEqual({
      epoch: expect.stringMatching(/^7\.[0-9a-f]{12}$/),
      last: 0,
    });
  });

  for (const revision of [4, 5]) {
    test(`at revision ${revision} leaves a job alone that has a position of revision 5`, async () => {
      await using parts = await freshParts();
      const { job } = await makeList(parts);
      const before = await whole(parts, job);
      expect(await parts.contactList.create(job, revision)).toBe(false);
      expect(await whole(parts, job)).toEqual(before);
    });
  }

  test("at a later revision starts over with an empty list", async () => {
    await using parts = await freshParts();
    const { job } = await makeList(parts, 9);
    // 10 is later than 9, though not in the order of text.
    expect(await parts.contactList.create(job, 10)).toBe(true);
    expect(await whole(parts, job)).toEqual({
      position: { epoch: expect.stringMatching(/^10\./), last: 0 },
      list: [],
    });
  });

  test("by ten at once happens once", async () => {
    await using parts = await freshParts();
    const job = aJob();
    const created = await Promise.all(Array.from({ length: 10 }, () => parts.contactList.create(job, 2)));
    expect(created.filter(Boolean)).toEqual([true]);
  });

  test("removes a list that has lost its position", async () => {
    await using parts = await freshParts();
    const { job } = await makeList(parts);
    await parts.redis.unlink(parts.keys.position(job));
    expect(await parts.contactList.create(job, 5)).toBe(true);
    expect(await listOf(parts, job)).toEqual([]);
  });
});

describe("begin", () => {
  for (const last of [1, 4_001, 10_000]) {
    test(`gives a job its position and the numbers to ${last}`, async () => {
      await using parts = await freshParts();
      const key = aJob();
      expect(await parts.contactList.begin(key.organizationId, [{ key, revision: 7, last }])).toBe(last);
      expect(await whole(parts, key)).toEqual({
        position: { epoch: expect.stringMatching(/^7\.n[0-9a-f]{12}$/), last },
        list: numbersTo(last),
      });
      const expiries = [parts.keys.position(key), parts.keys.contacts(key)].map((name) =>
        parts.redis.pttl(name),
      );
      expect(Math.min(...(await Promise.all(expiries)))).toBeGreaterThan(0);
    });
  }

  test("gives each of many jobs its own, however many numbers they have", async () => {
    await using parts = await freshParts();
    const { organizationId } = aJob();
    const jobs = Array.from({ length: 200 }, (_, i) => ({
      key: { ...aJob(), organizationId },
      revision: i + 1,
      last: i + 1,
    }));
    expect(await parts.contactList.begin(organizationId, jobs)).toBe((200 * 201) / 2);
    const lists = await Promise.all(jobs.map(({ key }) => whole(parts, key)));
    expect(lists).toEqual(
      jobs.map(({ revision, last }) => ({
        position: { epoch: expect.stringMatching(new RegExp(`^${revision}\\.n`)), last },
        list: numbersTo(last),
      })),
    );
  });

  for (const revision of [4, 5]) {
    test(`at revision ${revision} leaves a job alone that has a position of revision 5`, async () => {
      await using parts = await freshParts();
      const { job } = await makeList(parts);
      const before = await whole(parts, job);
      const other = { ...aJob(), organizationId: job.organizationId };
      const both = [job, other].map((key) => ({ key, revision, last: 9 }));
      expect(await parts.contactList.begin(job.organizationId, both)).toBe(9);
      expect(await whole(parts, job)).toEqual(before);
      expect((await whole(parts, other)).list).toEqual(numbersTo(9));
    });
  }

  test("at a later revision starts over with a list of its own", async () => {
    await using parts = await freshParts();
    const { job } = await makeList(parts);
    const beginning = { key: job, revision: 6, last: 2 };
    expect(await parts.contactList.begin(job.organizationId, [beginning])).toBe(2);
    expect(await whole(parts, job)).toMatchObject({ position: { last: 2 }, list: numbersTo(2) });
  });
});

describe("append", () => {
  test("puts numbers at the end and moves the position", async () => {
    await using parts = await freshParts();
    const { job, position } = await makeList(parts);
    expect(await parts.contactList.append(job, position, 6, inSet0([4, 6]))).toEqual({
      appended: true,
      position: { ...position, last: 6 },
    });
    expect(await whole(parts, job)).toEqual({
      position: { ...position, last: 6 },
      list: ["1", "2", "3", "4", "6"],
    });
  });

  test("of no numbers moves the position alone", async () => {
    await using parts = await freshParts();
    const job = aJob();
    await parts.contactList.create(job, 2);
    const position = await positionOf(parts, job);
    expect(await parts.contactList.append(job, position, 50, inSet0([]))).toEqual({
      appended: true,
      position: { ...position, last: 50 },
    });
    expect(await whole(parts, job)).toEqual({ position: { ...position, last: 50 }, list: [] });
  });

  test("does nothing the second time, and answers where the position is", async () => {
    await using parts = await freshParts();
    const { job, position } = await makeList(parts);
    await parts.contactList.append(job, position, 6, inSet0([4, 5, 6]));
    expect(await parts.contactList.append(job, position, 5, inSet0([4, 5]))).toEqual({
      appended: false,
      position: { ...position, last: 6 },
    });
    expect(await listOf(parts, job)).toEqual(numbersTo(6));
  });

  test("does nothing under an epoch that has passed", async () => {
    await using parts = await freshParts();
    const { job, position } = await makeList(parts);
    await parts.contactList.create(job, 6);
    const now = await positionOf(parts, job);
    expect(await parts.contactList.append(job, { ...position, last: 0 }, 3, inSet0([1, 2, 3]))).toEqual({
      appended: false,
      position: now,
    });
    expect(await whole(parts, job)).toEqual({ position: now, list: [] });
  });

  test("does nothing, and makes no key, where there is no position", async () => {
    await using parts = await freshParts();
    const { job, position } = await makeList(parts);
    await parts.contactList.unlink(job, 5);
    expect(await parts.contactList.append(job, position, 6, inSet0([4, 5, 6]))).toEqual({
      appended: false,
      position: undefined,
    });
    expect(await keysUnder(parts.redis, parts.prefix)).toEqual([]);
  });

  test("takes 10,000 numbers at once, however far apart they are", async () => {
    await using parts = await freshParts();
    for (const apart of [1, 2, 126, 127, 128, 254, 255, 1_000]) {
      const job = aJob();
      await parts.contactList.create(job, 2);
      const numbers = Array.from({ length: 10_000 }, (_, i) => 5 + i * apart);
      await parts.contactList.append(job, await positionOf(parts, job), 10_000 * apart, inSet0(numbers));
      expect(await listOf(parts, job)).toEqual(numbers.map(String));
    }
  });

  test("takes numbers of several sets at once, each for its own list", async () => {
    await using parts = await freshParts();
    const job = { ...aJob(), zoneSets: 3 };
    await parts.contactList.create(job, 2);
    const chunk = [
      { zoneSet: 2, numbers: [1, 200, 201] },
      { zoneSet: 0, numbers: { first: 2, count: 3 } },
      { zoneSet: 1, numbers: [199] },
    ];
    await parts.contactList.append(job, await positionOf(parts, job), 201, chunk);
    const lists = [0, 1, 2].map((zoneSet) => parts.redis.lrange(parts.keys.contacts(job, zoneSet), 0, -1));
    expect(await Promise.all(lists)).toEqual([["2", "3", "4"], ["199"], ["1", "200", "201"]]);
  });

  for (const count of [0, 1, 3_999, 4_000, 4_001, 10_000]) {
    test(`takes the ${count} numbers from one on`, async () => {
      await using parts = await freshParts();
      const { job, position } = await makeList(parts);
      const after = { ...position, last: 3 + count };
      expect(await parts.contactList.append(job, position, 3 + count, inSet0({ first: 4, count }))).toEqual({
        appended: true,
        position: after,
      });
      expect(await whole(parts, job)).toEqual({ position: after, list: numbersTo(3 + count) });
    });
  }

  test("puts off the expiry of the list", async () => {
    await using parts = await freshParts();
    const { job, position } = await makeList(parts);
    await parts.redis.persist(parts.keys.contacts(job));
    await parts.contactList.append(job, position, 4, inSet0({ first: 4, count: 1 }));
    expect(await parts.redis.pttl(parts.keys.contacts(job))).toBeGreaterThan(0);
  });
});

describe("restart", () => {
  test("sets the position of an empty list back to 0 under a new epoch", async () => {
    await using parts = await freshParts();
    const { job, position } = await makeList(parts);
    await parts.redis.unlink(parts.keys.contacts(job));
    expect(await parts.contactList.restart(job, position, 5)).toBe(true);
    const after = await positionOf(parts, job);
    expect(after).toEqual({ epoch: expect.stringMatching(/^5\./), last: 0 });
    expect(after.epoch).not.toBe(position.epoch);
  });

  test("leaves a list alone on which something is", async () => {
    await using parts = await freshParts();
    const { job, position } = await makeList(parts);
    expect(await parts.contactList.restart(job, position, 5)).toBe(false);
    expect(await whole(parts, job)).toEqual({ position, list: numbersTo(3) });
  });

  test("leaves a position alone that has moved, or has been started over by another", async () => {
    await using parts = await freshParts();
    const { job, position } = await makeList(parts);
    await parts.redis.unlink(parts.keys.contacts(job));
    expect(await parts.contactList.restart(job, { ...position, last: 2 }, 5)).toBe(false);
    expect(await parts.contactList.restart(job, position, 5)).toBe(true);
    const after = await positionOf(parts, job);
    expect(await parts.contactList.restart(job, position, 5)).toBe(false);
    expect(await positionOf(parts, job)).toEqual(after);
  });

  test("makes no position where there is none", async () => {
    await using parts = await freshParts();
    const { job, position } = await makeList(parts);
    await parts.contactList.unlink(job, 5);
    expect(await parts.contactList.restart(job, position, 5)).toBe(false);
    expect(await keysUnder(parts.redis, parts.prefix)).toEqual([]);
  });
});

describe("unlink", () => {
  for (const revision of [5, 6, Number.MAX_SAFE_INTEGER]) {
    test(`at revision ${revision} removes the keys of revision 5`, async () => {
      await using parts = await freshParts();
      const { job } = await makeList(parts);
      const bystander = await makeList(parts);
      await parts.contactList.unlink(job, revision);
      await parts.contactList.unlink(job, revision);
      expect(await whole(parts, job)).toEqual({ position: undefined, list: [] });
      expect(await listOf(parts, bystander.job)).toEqual(numbersTo(3));
    });
  }

  test("at an earlier revision leaves the keys of a later run alone", async () => {
    await using parts = await freshParts();
    const { job } = await makeList(parts, 10);
    const before = await whole(parts, job);
    await parts.contactList.unlink(job, 9);
    expect(await whole(parts, job)).toEqual(before);
  });

  test("removes a list that has lost its position", async () => {
    await using parts = await freshParts();
    const { job } = await makeList(parts);
    await parts.redis.unlink(parts.keys.position(job));
    await parts.contactList.unlink(job, 5);
    expect(await listOf(parts, job)).toEqual([]);
  });
});

describe("look", () => {
  test("answers the position and the length of the list, and makes no keys", async () => {
    await using parts = await freshParts();
    const { job, position } = await makeList(parts);
    expect(await parts.contactList.look(job, Date.now())).toEqual({ position, lengths: [3], returned: 0 });
    const unknown = aJob();
    expect(await parts.contactList.look(unknown, Date.now())).toEqual({
      position: undefined,
      lengths: [0],
      returned: 0,
    });
    expect(await parts.redis.exists(parts.keys.position(unknown), parts.keys.contacts(unknown))).toBe(0);
  });

  test("at many jobs at once sees each as it is, with a script for a hundred of an organization", async () => {
    await using parts = await freshParts();
    const sent: string[] = [];
    const redis = new Proxy(parts.redis, {
      get(client, name) {
        const found: unknown = Reflect.get(client, name);
        if (typeof found !== "function") return found;
        if (name === "evalsha") sent.push(name);
        return found.bind(client);
      },
    });
    const contactList = createContactList(redis, parts.keys);
    const [one, two] = [aJob(), aJob()];
    const jobs = [one, two].flatMap(({ organizationId }) =>
      Array.from({ length: 150 }, (): JobKey => ({ id: randomUUID(), organizationId })),
    );
    for (const [i, job] of jobs.entries()) {
      await parts.contactList.begin(job.organizationId, [{ key: job, revision: i, last: 1 + (i % 7) }]);
    }
    const looks = await Promise.all(jobs.map((job) => contactList.look(job, Date.now())));
    expect(looks.map(({ position, lengths }) => [position && revisionOf(position), ...lengths])).toEqual(
      jobs.map((_, i) => [i, 1 + (i % 7)]),
    );
    expect(sent).toHaveLength(2 * 2);
  });

  test("of one that is not a list fails alone, however many it is looked at with", async () => {
    await using parts = await freshParts();
    const { job, position } = await makeList(parts);
    const others = Array.from({ length: 10 }, (): JobKey => ({ ...job, id: randomUUID() }));
    const [broken] = others;
    if (broken === undefined) throw new Error("there should be ten");
    await parts.redis.set(parts.keys.contacts(broken), "no list");
    const looks = await Promise.allSettled(
      [...others, job].map((one) => parts.contactList.look(one, Date.now())),
    );
    expect(looks.map(({ status }) => status)).toEqual([
      "rejected",
      ...Array.from({ length: 10 }, () => "fulfilled"),
    ]);
    expect(looks.at(-1)).toMatchObject({ value: { position, lengths: [3] } });
  });

  test("puts off the expiry of both keys", async () => {
    await using parts = await freshParts();
    const { job } = await makeList(parts);
    const keys = [parts.keys.position(job), parts.keys.contacts(job)];
    for (const key of keys) await parts.redis.pexpire(key, 5_000);
    await parts.contactList.look(job, Date.now());
    const times = await Promise.all(keys.map((key) => parts.redis.pttl(key)));
    expect(Math.min(...times)).toBeGreaterThan(3_000_000);
    expect(Math.max(...times)).toBeLessThanOrEqual(3_600_000);
  });
});

test("every key that a job gets goes by itself within the hour", async () => {
  await using parts = await freshParts();
  await makeList(parts);
  const keys = await keysUnder(parts.redis, parts.prefix);
  expect(keys).toHaveLength(2);
  const times = await Promise.all(keys.map((key) => parts.redis.pttl(key)));
  expect(Math.min(...times)).toBeGreaterThan(0);
  expect(Math.max(...times)).toBeLessThanOrEqual(3_600_000);
});

test("the keys of one job lie in one slot of a cluster", async () => {
  await using parts = await freshParts();
  const { job } = await makeList(parts);
  const tags = [parts.keys.position(job), parts.keys.contacts(job)].map((key) => /\{(.+?)\}/.exec(key)?.[1]);
  expect(tags).toEqual([String(job.organizationId), String(job.organizationId)]);
});

test("lists under different prefixes do not see each other", async () => {
  await using parts = await freshParts();
  await using stranger = await freshParts();
  const { job, position } = await makeList(parts);
  expect(await stranger.contactList.position(job)).toBeUndefined();
  await stranger.contactList.unlink(job, 5);
  expect(await whole(parts, job)).toEqual({ position, list: numbersTo(3) });
});

test("scripts are loaded again after the server has lost them", async () => {
  await using parts = await freshParts();
  const { job, position } = await makeList(parts);
  await Promise.all(mastersOf(parts.redis).map((master) => master.script("FLUSH")));
  expect(await parts.contactList.look(job, Date.now())).toEqual({ position, lengths: [3], returned: 0 });
});

test("what Redis refuses comes as an error that names the step and none of the arguments", async () => {
  await using parts = await freshParts();
  const { job, position } = await makeList(parts);
  await parts.redis.unlink(parts.keys.position(job));
  await parts.redis.hset(parts.keys.position(job), "not", "a string");
  const secret = "314159265";
  const calls = [
    () => parts.contactList.create(job, 6),
    () => parts.contactList.position(job),
    () => parts.contactList.append(job, position, 4, inSet0([Number(secret)])),
    () => parts.contactList.restart(job, position, 5),
    () => parts.contactList.unlink(job, 5),
    () => parts.contactList.look(job, Date.now()),
  ];
  const errors = await Promise.all(calls.map((call) => call().catch((error: unknown) => error)));
  expect(errors.map((error) => error instanceof RedisError)).toEqual(calls.map(() => true));
  expect(errors.map(String)).toEqual(
    calls.map(() => expect.stringMatching(/(position|list|position over): WRONGTYPE/)),
  );
  const told = errors.map((error) => JSON.stringify(error, Object.getOwnPropertyNames(error)));
  expect(told.filter((text) => text.includes(secret))).toEqual([]);
});
