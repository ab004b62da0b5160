import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { startEmbeddedRedis } from "../../src/embedded/redis/redis.ts";
import { command, packageDirectory, slow, temporaryDirectory } from "./support.ts";

function start(dataDirectory: string, lines: string[] = []): ReturnType<typeof startEmbeddedRedis> {
  return startEmbeddedRedis({ dataDirectory, packageDirectory, say: (line) => lines.push(line) });
}

async function firstReply(port: number, line: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(`${line}\r\n`);
  const [reply] = await once(socket, "data");
  socket.destroy();
  return String(reply);
}

describe("embedded Redis", slow, () => {
  test("starts with the settings that the service relies on", async () => {
    using directory = temporaryDirectory();
    await using redis = await start(directory.path);
    const names = ["appendonly", "appendfsync", "maxmemory-policy", "bind"];
    const settings = await command(redis.url, "config", "get", ...names);
    expect(settings).toEqual(
      expect.arrayContaining(["appendonly", "yes", "appendfsync", "everysec", "noeviction", "127.0.0.1"]),
    );
    expect(await command(redis.url, "info", "server")).toMatch(/redis_version:([7-9]|\d\d)/);
  });

  test("asks for a password, which it keeps to itself", async () => {
    using directory = temporaryDirectory();
    const lines: string[] = [];
    await using redis = await start(directory.path, lines);
    const { password, port } = new URL(redis.url);
    expect(password).toMatch(/^[0-9a-f]{64}$/);
    expect(await firstReply(Number(port), "ping")).toMatch(/^-NOAUTH/);
    expect(lines.join()).not.toContain(password);
    expect(readFileSync(join(directory.path, "redis/log"), "utf8")).not.toContain(password);
    for (const file of ["redis/password", "redis/redis.conf"]) {
      expect(statSync(join(directory.path, file)).mode & 0o777).toBe(0o600);
    }
  });

  test("keeps its data and password over a restart and over a crash, which it reports", async () => {
    using directory = temporaryDirectory();
    const lines: string[] = [];
    const passwords = new Set<string>();
    {
      await using redis = await start(directory.path);
      passwords.add(new URL(redis.url).password);
      await command(redis.url, "set", "word", "still here");
    }
    {
      await using redis = await start(directory.path, lines);
      passwords.add(new URL(redis.url).password);
      expect(await command(redis.url, "get", "word")).toBe("still here");
      const about = String(await command(redis.url, "info", "server"));
      process.kill(Number(/process_id:(\d+)/.exec(about)?.[1]), "SIGKILL");
      await vi.waitFor(() => expect(lines.join()).toContain("stopped by itself"), slow);
    }
    await using redis = await start(directory.path);
    passwords.add(new URL(redis.url).password);
    expect(await command(redis.url, "get", "word")).toBe("still here");
    expect(passwords.size).toBe(1);
  });
});
