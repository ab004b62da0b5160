import { once } from "node:events";
import { realpathSync } from "node:fs";
import { afterAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { holdDataDirectory } from "../../src/embedded/data-directory.ts";
import { startEmbeddedPostgres } from "../../src/embedded/postgres/postgres.ts";
import { startEmbeddedRedis } from "../../src/embedded/redis/redis.ts";
import {
  command,
  kill,
  nextLine,
  packageDirectory,
  processesIn,
  query,
  slow,
  startScript,
  temporaryDirectory,
} from "./support.ts";

const urls = z.object({ postgres: z.string(), redis: z.string() });

describe.runIf(process.platform === "linux")("the owner of embedded servers", slow, () => {
  // One for all: making a cluster is what takes the time. Each test leaves it with no server running.
  const directory = temporaryDirectory();
  afterAll(() => directory[Symbol.dispose]());

  test("finds what a killed owner left running, uses it, and leaves no process behind", async () => {
    const options = { dataDirectory: directory.path, packageDirectory, say: () => {} };
    await using killed = startScript("owner.ts", directory.path, packageDirectory);
    const before = urls.parse(JSON.parse(await nextLine(killed.child)));
    await query(before.postgres, "create table kept as select 'still here' as word");
    const startedAt = await query(before.postgres, "select pg_postmaster_start_time()");
    await command(before.redis, "set", "word", "still here");
    await kill(killed.child);
    {
      await using hold = await holdDataDirectory(directory.path);
      expect(hold).toBeDefined();
      await using postgres = await startEmbeddedPostgres(options);
      await using redis = await startEmbeddedRedis(options);
      expect({ postgres: postgres.url, redis: redis.url }).toEqual(before);
      expect(await query(postgres.url, "select pg_postmaster_start_time()")).toEqual(startedAt);
      expect(await query(postgres.url, "select word from kept")).toBe("still here");
      expect(await command(redis.url, "get", "word")).toBe("still here");
      expect(processesIn(realpathSync(directory.path))).not.toEqual([]);
    }
    await vi.waitFor(() => expect(processesIn(realpathSync(directory.path))).toEqual([]), slow);
  });

  test("still has its servers when a terminal interrupts its process group, and stops them itself", async () => {
    await using owner = startScript("owner.ts", directory.path, packageDirectory);
    const { child } = owner;
    await nextLine(child);
    const ended = once(child, "exit");
    process.kill(-(child.pid ?? Number.NaN), "SIGINT");
    expect(await nextLine(child)).toBe('["postgres","redis"]');
    expect(await ended).toEqual([0, null]);
    await vi.waitFor(() => expect(processesIn(realpathSync(directory.path))).toEqual([]), slow);
  });
});
