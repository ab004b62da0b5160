import { expect, test } from "vitest";
import { openRedis } from "../../src/redis/connection.ts";
import { createContactList } from "../../src/redis/contact-list.ts";
import { createKeys } from "../../src/redis/keys.ts";
import { connected } from "../support/parts.ts";
import { startRedisCluster } from "../support/servers/redis-cluster.ts";

test(
  "keys of a cluster one of whose masters cannot be asked are found on the others",
  { timeout: 60_000 },
  async () => {
    await using cluster = await startRedisCluster({ replicasEach: 0, nodeTimeoutMs: 60_000 });
    const redis = await connected(openRedis(cluster.url));
    try {
      const keys = createKeys("callsheet");
      const contactList = createContactList(redis, keys);
      const jobs = Array.from({ length: 30 }, (_, i) => ({
        organizationId: i + 1,
        id: `00000000-0000-4000-8000-0000000000${String(i).padStart(2, "0")}`,
      }));
      for (const job of jobs) await contactList.create(job, 1);
      const places = await Promise.all(jobs.map((job) => cluster.placeOf(keys.position(job))));
      expect(new Set(places)).toEqual(new Set([0, 1, 2]));
      await cluster.masters[0]?.admin.call("ACL", "SETUSER", "default", "-scan");
      const found = await contactList.scan(new Map(), 1_000);
      expect(found.failures).toHaveLength(1);
      expect(found.jobs.map(({ id }) => id).toSorted()).toEqual(
        jobs.filter((_, i) => places[i] !== 0).map(({ id }) => id),
      );
    } finally {
      redis.disconnect();
    }
  },
);
