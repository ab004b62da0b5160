import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { findEmbeddedPostgres, startEmbeddedPostgres } from "../../src/embedded/postgres/postgres.ts";
import {
  kill,
  packageDirectory,
  query,
  slow,
  startProcess,
  startScript,
  temporaryDirectory,
} from "./support.ts";

function start(dataDirectory: string, lines: string[] = []): ReturnType<typeof startEmbeddedPostgres> {
  return startEmbeddedPostgres({ dataDirectory, say: (line) => lines.push(line) });
}

describe("embedded Postgres", slow, () => {
  test("starts with the database, keeps it to this machine and its password to itself, and is found while it runs", async () => {
    using directory = temporaryDirectory();
    expect(await findEmbeddedPostgres(directory.path)).toBeUndefined();
    const lines: string[] = [];
    {
      await using postgres = await start(directory.path, lines);
      const { username, password, hostname, pathname } = new URL(postgres.url);
      expect({ username, hostname, pathname }).toEqual({
        username: "callsheet",
        hostname: "127.0.0.1",
        pathname: "/callsheet",
      });
      expect(await query(postgres.url, "show listen_addresses")).toBe("127.0.0.1");
      expect(await query(postgres.url, "show unix_socket_directories")).toBe("");
      expect(await query(postgres.url, "show server_encoding")).toBe("UTF8");
      expect(
        await query(postgres.url, "select datcollate from pg_database where datname = 'callsheet'"),
      ).toBe("C");

      expect(password).toMatch(/^[0-9a-f]{64}$/);
      expect(lines.join()).not.toContain(password);
      expect(readFileSync(join(directory.path, "postgres/log"), "utf8")).not.toContain(password);
      expect(statSync(join(directory.path, "postgres/password")).mode & 0o777).toBe(0o600);
      const wrong = postgres.url.replace(password, "wrong");
      await expect(query(wrong, "select 1")).rejects.toMatchObject({ code: "28P01" });
      const without = postgres.url.replace(`:${password}`, "");
      await expect(query(without, "select 1")).rejects.toThrow(/password/);

      expect(await findEmbeddedPostgres(directory.path)).toBe(postgres.url);
    }
    expect(await findEmbeddedPostgres(directory.path)).toBeUndefined();
  });

  test("keeps its data and password over a restart and over a crash, which it reports", async () => {
    using directory = temporaryDirectory();
    const lines: string[] = [];
    const pidFile = join(directory.path, "postgres/data/postmaster.pid");
    const passwords = new Set<string>();
    {
      await using postgres = await start(directory.path);
      passwords.add(new URL(postgres.url).password);
      await query(postgres.url, "create table kept as select 'still here' as word");
    }
    {
      await using postgres = await start(directory.path, lines);
      passwords.add(new URL(postgres.url).password);
      expect(await query(postgres.url, "select word from kept")).toBe("still here");
      await query(postgres.url, "update kept set word = 'here too'");
      process.kill(Number.parseInt(readFileSync(pidFile, "utf8"), 10), "SIGKILL");
      await vi.waitFor(() => expect(lines.join()).toContain("stopped by itself"), slow);
    }
    // After a reboot the process id in the file may be that of any other process of the same user.
    const { uid, gid } = statSync(join(directory.path, "postgres/data"));
    await using stranger = startProcess("sleep", ["60"], { uid, gid, cwd: "/" });
    writeFileSync(pidFile, readFileSync(pidFile, "utf8").replace(/^\d+/, String(stranger.child.pid)));
    await using postgres = await start(directory.path);
    passwords.add(new URL(postgres.url).password);
    expect(await query(postgres.url, "select word from kept")).toBe("here too");
    expect(passwords.size).toBe(1);
  });

  test("begins anew when its first start was killed halfway", async () => {
    using directory = temporaryDirectory();
    const halfMade = (): string[] =>
      readdirSync(directory.path).filter((name) =>
        existsSync(join(directory.path, name, "data", "postgresql.conf")),
      );
    {
      await using owner = startScript("owner.ts", directory.path, packageDirectory);
      await vi.waitFor(() => expect(halfMade()).not.toEqual([]), { ...slow, interval: 2 });
      await kill(owner.child);
    }
    const leftover = halfMade();
    expect(leftover).not.toContain("postgres");
    await using postgres = await start(directory.path);
    expect(await query(postgres.url, "select 1")).toBe(1);
    expect(halfMade()).toEqual(["postgres"]);
  });
});
