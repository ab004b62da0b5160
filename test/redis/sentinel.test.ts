import { describe, expect, test } from "vitest";
import { readConfig } from "../../src/config.ts";
import { readSentinelUrl } from "../../src/domain/server-url.ts";
import { whyAway } from "../../src/redis/away.ts";
import { openRedis } from "../../src/redis/connection.ts";
import { checkFitness, judgeError } from "../../src/redis/fitness.ts";
import { createKeys } from "../../src/redis/keys.ts";
import { onMessage } from "../../src/redis/signals.ts";
import { runSchedulerPass } from "../../src/starting/scheduler.ts";
import { lease, limitOrganization, reportAll, runJob } from "../leasing/leases.ts";
import { aNewJob, makeContacts, makeWholeJob } from "../support/make.ts";
import { eventually } from "../support/eventually.ts";
import { lookAt, numbersTo } from "../support/look.ts";
import { connected, startParts } from "../support/parts.ts";
import { masterName, startWatched } from "../support/servers/sentinels.ts";
import { settle } from "../starting/sweep/passes.ts";

const patience = 60_000;

test(
  "when Sentinels make the replica the master, all goes on there: nothing is lost, and nobody called twice",
  { timeout: patience },
  async () => {
    await using watched = await startWatched();
    await using parts = await startParts({ redisUrl: watched.url });
    const subscriber = await connected(openRedis(watched.url));
    await using stack = new AsyncDisposableStack();
    stack.defer(() => subscriber.disconnect());
    let signals = 0;
    onMessage(subscriber, parts.keys.work, () => (signals += 1));
    await subscriber.subscribe(parts.keys.work);
    await limitOrganization(parts, 1_000);
    await parts.schedule.markFilled();
    const jobId = await runJob(parts, aNewJob({ contacts: makeContacts(200), concurrentCallLimit: 200 }));
    expect((await lookAt(parts, jobId)).list).toEqual(numbersTo(200));
    const before = await lease(parts, { maxContacts: 50 });
    await reportAll(parts, before, "completed");
    const due = await makeWholeJob(parts, { status: "scheduled", dueInMs: 2_000 });

    await watched.master.kill();
    await watched.failedOver();
    await connected(parts.redis);
    // Each connection finds its own way there.
    await eventually(async () =>
      expect(await watched.replica.admin.info("clients")).toMatch(/connected_clients:[3-9]/),
    );

    await settle(parts);
    await eventually(async () => {
      await parts.sweep.pass();
      await runSchedulerPass(parts);
      expect((await lookAt(parts, due.id)).row?.status).toBe("running");
    }, patience);
    const seen = before.filter(({ jobId: of }) => of === jobId).map(({ number }) => number);
    await eventually(async () => {
      const leases = await lease(parts, { maxContacts: 50, jobIds: [jobId] });
      seen.push(...leases.map(({ number }) => number));
      await reportAll(parts, leases, "completed");
      expect(seen).toHaveLength(200);
    }, patience);
    expect(new Set(seen).size).toBe(200);
    await eventually(async () => {
      await parts.redis.publish(parts.keys.work, String(parts.caller.organizationId));
      expect(signals).toBeGreaterThan(0);
    }, patience);
  },
);

describe("a URL of Sentinels", () => {
  test("names the master, a database, and who we are to it and to them", () => {
    const url =
      "rediss+sentinel://me:p%40s%2Fs@a:1,b,[::1]:3/calls/2?sentinel_username=s&sentinel_password=%23x";
    expect(readConfig({ REDIS_URL: url }).REDIS_URL).toBe(url);
    expect(readSentinelUrl(url)).toEqual({
      sentinels: [
        { host: "a", port: 1 },
        { host: "b", port: 26_379 },
        { host: "::1", port: 3 },
      ],
      name: "calls",
      db: 2,
      isTls: true,
      master: { username: "me", password: "p@s/s" },
      sentinel: { username: "s", password: "#x" },
    });
  });

  test.each([
    "redis+sentinel://:hunter2@a,b",
    "redis+sentinel://:hunter2@a,b/",
    "redis+sentinel://:hunter2@a,b/calls/x",
    "redis+sentinel://:hunter2@a,b/calls/1/2",
    "redis+sentinel://:hunter2#@a,b/calls",
    "redis+sentinel://:hunter2@a,,b/calls",
    "redis+sentinel:///calls",
  ])("without what it must have is refused: %s", (url) => {
    const read = () => readConfig({ REDIS_URL: url });
    expect(read).toThrow(/^REDIS_URL: [^\n]+\.$/);
    expect(read).toThrow(expect.not.stringContaining("hunter2"));
  });
});

test("what is wrong with Sentinels is said in a sentence", { timeout: patience }, async () => {
  await using watched = await startWatched({ sentinelPassword: "theirs" });
  const keys = createKeys("test");
  const said = async (url: string) => {
    const redis = openRedis(url);
    try {
      return await eventually(async () => {
        const error: unknown = await new Promise((resolve) => redis.once("error", resolve));
        const fitness = judgeError(error, keys);
        return fitness !== undefined && "sentence" in fitness ? fitness.sentence : whyAway(redis, error);
      });
    } finally {
      redis.disconnect();
    }
  };
  expect(await said(watched.url.replace(/\?.*/, ""))).toBe(
    "The Sentinels of REDIS_URL ask for a password of their own; it must end with ?sentinel_username=…&sentinel_password=….",
  );
  expect(await said(watched.url.replace(`/${masterName}/`, "/unknown/"))).toBe(
    "The Redis that Sentinel knows as unknown (REDIS_URL) is known to none of the Sentinels; the URL must name the master as they do.",
  );
  expect(await said(`redis+sentinel://127.0.0.1:1,127.0.0.1:2/${masterName}`)).toMatch(
    /^The Redis that Sentinel knows as calls \(REDIS_URL\) is not to be found, for no Sentinel answers \(.*\); they must be reachable from here\.$/,
  );
  const [, sentinel = ""] = /\/\/([^,]*),/.exec(watched.url) ?? [];
  const redis = openRedis(`redis://:theirs@${sentinel}`);
  await eventually(async () =>
    expect(await checkFitness(redis)).toMatchObject({
      verdict: "unusable",
      sentence: expect.stringContaining("REDIS_URL names a Sentinel"),
    }),
  );
  redis.disconnect();
});
