import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "kysely";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readConfig } from "../../src/config.ts";
import { openDatabase, openPool, refusalOf } from "../../src/postgres/connections/database.ts";
import { checkDatabase } from "../../src/postgres/connections/fitness.ts";
import { obstacleOf } from "../../src/postgres/connections/obstacle.ts";
import {
  type AuthorityFiles,
  type CertificateFiles,
  createAuthorityFiles,
} from "../support/servers/certificate-files.ts";
import { eventually } from "../support/eventually.ts";
import { type PostgresServer, startPostgresServer } from "../support/servers/postgres-servers.ts";

// A Postgres with a certificate that is good for its name, and not for its address; and one whose time is over.

const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());
let ours: AuthorityFiles;
let foreign: AuthorityFiles;
let good: PostgresServer;
let expired: PostgresServer;
let client: CertificateFiles;

const localhost = ["localhost"];

async function startWith({ certificate, key }: CertificateFiles): Promise<PostgresServer> {
  const server = stack.use(await startPostgresServer({}));
  server.write("server.crt", readFileSync(certificate, "utf8"));
  server.write("server.key", readFileSync(key, "utf8"));
  server.write("clients.crt", readFileSync(ours.certificate, "utf8"));
  server.write(
    "pg_hba.conf",
    "hostssl all cautious 127.0.0.1/32 cert\nhost all all 127.0.0.1/32 trust\nhost all all ::1/128 trust\n",
  );
  await server.query("create role cautious login");
  await server.query("grant create on schema public to cautious");
  await server.query("alter system set ssl_ca_file = 'clients.crt'");
  await server.query("alter system set ssl = on");
  await server.query("select pg_reload_conf()");
  await eventually(async () => expect(await server.query("show ssl")).toEqual([{ ssl: "on" }]));
  return server;
}

beforeAll(async () => {
  ours = stack.use(await createAuthorityFiles());
  foreign = stack.use(await createAuthorityFiles());
  good = await startWith(await ours.issue(localhost));
  expired = await startWith(await ours.issue(localhost, "over"));
  client = await ours.issue(["cautious"]);
});

type Where = { server?: PostgresServer; host?: string; role?: string };

/** Whether a connection to this place is encrypted, or why there is none. */
async function connect(query: string, { server = good, host = "localhost", role = "callsheet" }: Where = {}) {
  const url = readConfig({ DATABASE_URL: `postgres://${role}@${host}:${server.port}/postgres${query}` });
  const { DATABASE_URL: databaseUrl = "" } = url;
  try {
    await checkDatabase(databaseUrl);
  } catch (error) {
    return obstacleOf(error, databaseUrl).sentence;
  }
  const one = new Client({ connectionString: databaseUrl });
  await one.connect();
  const { rows } = await one.query<{ ssl: boolean }>(
    "select ssl from pg_stat_ssl where pid = pg_backend_pid()",
  );
  await one.end();
  return rows[0]?.ssl === true ? "encrypted" : "plain";
}

const untrusted = expect.stringMatching(/ shows a certificate that is not trusted here \(/);
const over = expect.stringMatching(/ shows a certificate whose time is over; it must be renewed there\.$/);

type Case = { query: string; good: unknown; otherHost: unknown; expired: unknown };

const ca = (authority: () => AuthorityFiles) => `&sslrootcert=${authority().certificate}`;

describe("as libpq means it:", () => {
  test.each<() => Case>([
    () => ({ query: "", good: "plain", otherHost: "plain", expired: "plain" }),
    () => ({ query: "?sslmode=disable", good: "plain", otherHost: "plain", expired: "plain" }),
    () => ({ query: "?sslmode=require", good: "encrypted", otherHost: "encrypted", expired: "encrypted" }),
    () => ({
      query: `?sslmode=require${ca(() => ours)}`,
      good: "encrypted",
      otherHost: "encrypted",
      expired: over,
    }),
    () => ({
      query: `?sslmode=verify-ca${ca(() => ours)}`,
      good: "encrypted",
      otherHost: "encrypted",
      expired: over,
    }),
    () => ({
      query: `?sslmode=verify-full${ca(() => ours)}`,
      good: "encrypted",
      otherHost: untrusted,
      expired: over,
    }),
    () => ({
      query: `?x=y${ca(() => ours)}`,
      good: "encrypted",
      otherHost: untrusted,
      expired: over,
    }),
    () => ({
      query: `?sslmode=verify-ca${ca(() => foreign)}`,
      good: untrusted,
      otherHost: untrusted,
      expired: over,
    }),
    () => ({
      query: `?sslmode=verify-full${ca(() => foreign)}`,
      good: untrusted,
      otherHost: untrusted,
      expired: over,
    }),
    () => ({ query: "?sslmode=verify-full", good: untrusted, otherHost: untrusted, expired: over }),
    () => ({
      query: "?sslrootcert=system&sslmode=verify-full",
      good: untrusted,
      otherHost: untrusted,
      expired: over,
    }),
  ])("%#", async (make) => {
    const { query, ...ends } = make();
    expect({
      good: await connect(query),
      otherHost: await connect(query, { host: "127.0.0.1" }),
      expired: await connect(query, { server: expired }),
    }).toEqual(ends);
  });
});

test("a client certificate is shown where it is asked for, and asked for where there is none", async () => {
  const trusting = `?sslmode=verify-full${ca(() => ours)}`;
  const cautious = { role: "cautious" };
  expect(await connect(`${trusting}&sslcert=${client.certificate}&sslkey=${client.key}`, cautious)).toBe(
    "encrypted",
  );
  expect(await connect(trusting, cautious)).toBe(
    `Postgres at localhost:${good.port} (DATABASE_URL) asks for a client certificate of role cautious; the URL must name one that it trusts, as &sslcert=FILE&sslkey=FILE.`,
  );
});

/** A pool whose URL names a file of its own for the CA, and how to change that. */
async function openChanging() {
  await using made = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), "callsheet-url-files-"));
  made.defer(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, "ca.crt");
  const write = (text: string) => writeFileSync(file, text);
  write(readFileSync(ours.certificate, "utf8"));
  const url = readConfig({
    DATABASE_URL: `postgres://callsheet@localhost:${good.port}/postgres?sslmode=verify-full&sslrootcert=${file}`,
  });
  const { DATABASE_URL: databaseUrl = "" } = url;
  const running = made.move();
  return {
    url: databaseUrl,
    write,
    remove: () => rmSync(file),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

describe("a file of the URL that changes while a pool is at work", () => {
  const one = sql<{ ssl: boolean }>`select ssl from pg_stat_ssl where pid = pg_backend_pid()`;
  const encrypted = { rows: [{ ssl: true }] };

  test.each([
    ["is gone", ({ remove }: { remove: () => void }) => remove()],
    [
      "is half written",
      ({ write }: { write: (text: string) => void }) =>
        write(readFileSync(ours.certificate, "utf8").slice(0, 300)),
    ],
    ["is empty", ({ write }: { write: (text: string) => void }) => write("")],
    [
      "is of another CA",
      ({ write }: { write: (text: string) => void }) => write(readFileSync(foreign.certificate, "utf8")),
    ],
  ] as const)(
    "and %s: what is connected goes on, what is not is told to come again, until it is right",
    async (_, change) => {
      await using file = await openChanging();
      await using db = openDatabase({ url: file.url, poolSize: 2 });
      await db.connection().execute(async (connected) => {
        expect(await one.execute(connected)).toMatchObject(encrypted);
        change(file);
        const failure = await one.execute(db).catch((error: unknown) => error);
        expect(refusalOf(failure)?.reason).toBe("unavailable");
        expect(await one.execute(connected)).toMatchObject(encrypted);
        file.write(readFileSync(ours.certificate, "utf8"));
        expect(await one.execute(db)).toMatchObject(encrypted);
      });
    },
  );

  test("and is gone when a connection breaks for which somebody waits: who waits is told", async () => {
    await using file = await openChanging();
    const pool = openPool({ url: file.url, size: 1 });
    const only = await pool.connect();
    const waiting = pool.connect();
    file.remove();
    only.release(true);
    await expect(waiting).rejects.toMatchObject({ code: "ENOENT" });
    await pool.end();
  });
});
