import { randomUUID } from "node:crypto";
import { mkdtemp, readdir, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { hashApiKey, isApiKey } from "../../src/domain/api-key.ts";
import { openDatabase } from "../../src/postgres/connections/database.ts";
import { runProgram } from "../support/command.ts";
import { cloneDatabase } from "../support/database.ts";

const database = await cloneDatabase();
const db = openDatabase({ url: database.url, poolSize: 2 });
afterAll(async () => {
  await db.destroy();
  await database[Symbol.asyncDispose]();
});

const keys = (...args: string[]) => runProgram("src/access/keys.ts", args, { DATABASE_URL: database.url });
const rowOf = (key: string) =>
  db
    .selectFrom("api_keys")
    .innerJoin("organizations", "organizations.id", "api_keys.organization_id")
    .select([
      "api_keys.id",
      "organizations.name as organization",
      "api_keys.name",
      "role",
      "expires_at",
      "revoked_at",
    ])
    .where("hash", "=", hashApiKey(key))
    .executeTakeFirstOrThrow();

const allKeys = () => db.selectFrom("api_keys").selectAll().orderBy("id").execute();
const oneSentence = /^\S[^\n]+[.)]?\n$/;

test("create prints a key and nothing else, and the database has its hash only", async () => {
  const { exitCode, stdout, stderr } = await keys(
    "create",
    "--organization",
    "acme",
    "--role",
    "operator",
    "--name",
    "campaign backend",
  );
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(stdout).toMatch(/^cs_\S+\n$/);
  expect(isApiKey(stdout.trim())).toBe(true);
  expect(await rowOf(stdout.trim())).toMatchObject({
    organization: "acme",
    name: "campaign backend",
    role: "operator",
    expires_at: null,
    revoked_at: null,
  });
});

test("create makes a key that expires", async () => {
  const { stdout } = await keys("create", "--role", "viewer", "--expires-in-days", "1.5");
  const { organization, expires_at } = await rowOf(stdout.trim());
  expect(organization).toBe("default");
  expect(Number(expires_at) - Date.now()).toBeGreaterThan(35.9 * 3_600_000);
  expect(Number(expires_at) - Date.now()).toBeLessThanOrEqual(36 * 3_600_000);
});

test("list shows every key, and of none its secret or hash", async () => {
  const key = (await keys("create", "--role", "worker", "--name", "dialer 7")).stdout.trim();
  const { id } = await rowOf(key);
  const { exitCode, stdout, stderr } = await keys("list");
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(stdout.trimEnd().split("\n")).toHaveLength((await allKeys()).length);
  expect(stdout).toMatch(new RegExp(`^${id}  default  worker .*dialer 7$`, "m"));
  const hash = hashApiKey(key);
  const secrets = [key.slice(3), hash.toString("hex"), hash.toString("base64"), hash.toString("base64url")];
  expect(secrets.filter((secret) => stdout.includes(secret))).toEqual([]);
});

test("revoke revokes a key once, and list says so", async () => {
  const key = (await keys("create", "--role", "viewer")).stdout.trim();
  const { id } = await rowOf(key);
  expect(await keys("revoke", id)).toEqual({ exitCode: 0, stdout: `revoked ${id}\n`, stderr: "" });
  expect((await rowOf(key)).revoked_at).toBeInstanceOf(Date);
  expect((await keys("list")).stdout).toMatch(new RegExp(`^${id}  .* revoked 20`, "m"));
  const again = await keys("revoke", id);
  expect(again).toEqual({ exitCode: 1, stdout: "", stderr: expect.stringMatching(oneSentence) });
});

describe("one sentence and exit code 1 are the answer to", () => {
  test.each([
    ["no role", ["create"], "--role"],
    ["a role that there is not", ["create", "--role", "king"], "admin, operator, viewer, worker"],
    ["days that are no number", ["create", "--role", "admin", "--expires-in-days", "soon"], "days"],
    ["0 days", ["create", "--role", "admin", "--expires-in-days", "0"], "days"],
    ["an organization without a name", ["create", "--role", "admin", "--organization", ""], "--organization"],
    ["an option that there is not", ["create", "--role", "admin", "--colour", "red"], "--colour"],
    ["too many words", ["list", "all"], "all"],
    ["no id to revoke", ["revoke"], "id"],
    ["an id that is none", ["revoke", "7"], "list"],
    ["a name that would break a line", ["create", "--role", "admin", "--name", "a\tb"], "line breaks"],
    [
      "an organization that would break a line",
      ["create", "--role", "admin", "--organization", "a\tb"],
      "line breaks",
    ],
    ["a name that is too long", ["create", "--role", "admin", "--name", "n".repeat(201)], "200 characters"],
    ["an id of no key", ["revoke", randomUUID()], "no key"],
    ["a command that there is not", ["frobnicate"], "frobnicate"],
  ])("%s", async (_, args, word) => {
    const before = await allKeys();
    const { exitCode, stdout, stderr } = await keys(...args);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr).toMatch(oneSentence);
    expect(stderr).toContain(word);
    expect(await allKeys()).toEqual(before);
  });

  test("a setting that is wrong", async () => {
    const { exitCode, stderr } = await runProgram("src/access/keys.ts", ["list"], {
      DATABASE_URL: "mysql://localhost",
    });
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr: expect.stringMatching(/^DATABASE_URL: .*\n$/),
    });
  });

  test("a Postgres that is not there", async () => {
    const settings = { DATABASE_URL: "postgres://nobody@127.0.0.1:1/nothing" };
    const { exitCode, stderr } = await runProgram("src/access/keys.ts", ["list"], settings);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr: "Postgres at 127.0.0.1:1 (DATABASE_URL) takes no connections; it must run there, and listen.\n",
    });
  });
});

test("no database is made where there is none", async () => {
  const directory = await mkdtemp(join(tmpdir(), "callsheet-keys-"));
  const nothing = join(directory, "nothing");
  expect(
    await runProgram("src/access/keys.ts", ["create", "--role", "admin"], { CALLSHEET_DATA_DIR: nothing }),
  ).toEqual({
    exitCode: 1,
    stdout: "",
    stderr: `There is no database: DATABASE_URL is not set, and no service has made one in ${nothing}; set DATABASE_URL or CALLSHEET_DATA_DIR as the service has it.\n`,
  });
  expect(await readdir(directory)).toEqual([]);
  await rmdir(directory);
});

test("help is shown on standard output, with exit code 0", async () => {
  const { exitCode, stdout, stderr } = await keys("--help");
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(stdout).toContain("create");
});

describe("a DATABASE_DIRECT_URL that cannot be used is named:", () => {
  test.each([
    [
      "nobody who listens",
      "postgres://nobody@127.0.0.1:1/nothing",
      "Postgres at 127.0.0.1:1 (DATABASE_DIRECT_URL) takes no connections; it must run there, and listen.\n",
    ],
    [
      "a file that is not there",
      `${database.url}?sslrootcert=/nowhere.crt`,
      "DATABASE_DIRECT_URL: the file of sslrootcert, /nowhere.crt, cannot be used: there is no such file.\n",
    ],
  ])("%s", async (_, directUrl, stderr) => {
    const urls = { DATABASE_URL: database.url, DATABASE_DIRECT_URL: directUrl };
    expect(await runProgram("src/access/keys.ts", ["list"], urls)).toEqual({
      exitCode: 1,
      stdout: "",
      stderr,
    });
  });
});
