import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { prepareDatabase } from "../../src/postgres/schema/prepare.ts";
import { startEmbeddedPostgres } from "../../src/embedded/postgres/postgres.ts";
import { freePort } from "../../src/embedded/server-process.ts";
import { checkDatabase } from "../../src/postgres/connections/fitness.ts";
import { migrate } from "../../src/postgres/schema/migrate.ts";
import { type Obstacle, obstacleOf } from "../../src/postgres/connections/obstacle.ts";
import { writeSelfSigned } from "../support/servers/certificate-files.ts";
import { eventually } from "../support/eventually.ts";

// A Postgres of this file's own: its pg_hba.conf is changed, it gets a certificate, and it becomes a standby.
const directory = mkdtempSync(join(tmpdir(), "callsheet-obstacle-"));
chmodSync(directory, 0o711);
const data = join(directory, "postgres/data");
const start = () => startEmbeddedPostgres({ dataDirectory: directory, say: () => {} });
const server = await start();
const stack = new AsyncDisposableStack();
stack.defer(() => rmSync(directory, { recursive: true, force: true }));
stack.defer(() => server[Symbol.asyncDispose]());
afterAll(() => stack.disposeAsync());

const { port } = new URL(server.url);
const place = `Postgres at 127.0.0.1:${port} (DATABASE_URL)`;

/** Writes a file into the server's data, for whoever it runs as. */
function writeData(name: string, text: string): void {
  const file = join(data, name);
  writeFileSync(file, text, { mode: 0o600 });
  const { uid, gid } = statSync(data);
  chownSync(file, uid, gid);
}

async function administer(statement: string, database = "callsheet"): Promise<void> {
  const client = new Client({ connectionString: urlOf({ database }) });
  await client.connect();
  await client.query(statement);
  await client.end();
}

function urlOf(parts: {
  role?: string;
  password?: string;
  host?: string;
  database?: string;
  query?: string;
}): string {
  const url = new URL(server.url);
  url.username = parts.role ?? url.username;
  url.password = parts.password ?? (parts.role === undefined ? url.password : "plain");
  url.hostname = parts.host ?? url.hostname;
  url.pathname = `/${parts.database ?? "callsheet"}`;
  return `${url.href}${parts.query ?? ""}`;
}

/** Makes a role that may log in, with this name as its password's too. */
async function makeRole(): Promise<string> {
  const role = `r${randomBytes(5).toString("hex")}`;
  await administer(`create role ${role} login password 'plain'`);
  return role;
}

async function makeDatabase(how = ""): Promise<string> {
  const database = `d${randomBytes(5).toString("hex")}`;
  await administer(`create database ${database} ${how}`);
  return database;
}

/** What a start does with the database. */
async function begin(url: string): Promise<void> {
  await checkDatabase(url);
  await migrate(url);
}

async function obstacle(url: string): Promise<Obstacle> {
  try {
    await begin(url);
  } catch (error) {
    return obstacleOf(error, url);
  }
  throw new Error("nothing is in the way");
}

const lasting = (sentence: string): Obstacle => ({ passes: false, sentence });

describe("what only somebody can change is said in a sentence:", () => {
  test("a role that may not create tables, until it may", async () => {
    const role = await makeRole();
    const database = await makeDatabase();
    expect(await obstacle(urlOf({ role, database }))).toEqual(
      lasting(
        `Role ${role} may not create tables in schema public of database ${database} (DATABASE_URL); GRANT CREATE ON SCHEMA public TO ${role}, or give it a schema of its own.`,
      ),
    );
    await administer(`grant create on schema public to ${role}`, database);
    await begin(urlOf({ role, database }));
  });

  test("a search_path without a schema that is there, until there is one", async () => {
    const role = await makeRole();
    const database = await makeDatabase();
    await administer(`alter role ${role} set search_path = elsewhere`);
    expect(await obstacle(urlOf({ role, database }))).toEqual(
      lasting(
        `The search_path of role ${role} in database ${database} (DATABASE_URL), elsewhere, names no schema that is there and that it may use; create one, or GRANT USAGE, CREATE on one of them TO ${role}.`,
      ),
    );
    await administer(`create schema elsewhere authorization ${role}`, database);
    await begin(urlOf({ role, database }));
  });

  test.each(["LATIN1", "SQL_ASCII"])("the encoding %s", async (encoding) => {
    const database = await makeDatabase(
      `encoding '${encoding}' template template0 lc_collate 'C' lc_ctype 'C' locale_provider libc`,
    );
    expect(await obstacle(urlOf({ database }))).toEqual(
      lasting(
        `The database ${database} (DATABASE_URL) has the encoding ${encoding}, which cannot hold every name; make one with ENCODING 'UTF8' TEMPLATE template0.`,
      ),
    );
  });

  test("a role whose transactions are read-only", async () => {
    const role = await makeRole();
    const database = await makeDatabase(`owner ${role}`);
    await administer(`alter role ${role} set default_transaction_read_only = on`);
    expect(await obstacle(urlOf({ role, database }))).toEqual(
      lasting(
        `The database ${database} (DATABASE_URL) takes no writes from role ${role}, for default_transaction_read_only is on; switch it off for this role and database.`,
      ),
    );
  });

  test("a wrong password, and none", async () => {
    const role = await makeRole();
    expect(await obstacle(urlOf({ role, password: "wrong" }))).toEqual(
      lasting(
        `${place} refuses the password of role ${role}; it must be the right one, with # / ? @ % in it written as %23 %2F %3F %40 %25.`,
      ),
    );
    expect(await obstacle(urlOf({ role, password: "" }))).toEqual(
      lasting(
        `${place} asks for the password of role ${role}, and there is none; the URL must begin with postgres://${role}:PASSWORD@.`,
      ),
    );
  });

  test("a database that is not there, and a role that may not log in", async () => {
    const role = await makeRole();
    expect(await obstacle(urlOf({ role, database: "nowhere" }))).toEqual(
      lasting(`${place} has no database nowhere; CREATE DATABASE nowhere OWNER ${role}, or name another.`),
    );
    await administer(`alter role ${role} nologin`);
    expect(await obstacle(urlOf({ role }))).toEqual(
      lasting(
        `${place} has no role ${role} that may log in; CREATE ROLE ${role} LOGIN PASSWORD …, or name another.`,
      ),
    );
  });

  test("a database that the role may not connect to", async () => {
    const role = await makeRole();
    const database = await makeDatabase();
    await administer(`revoke connect on database ${database} from public`);
    expect(await obstacle(urlOf({ role, database }))).toEqual(
      lasting(
        `${place} does not let role ${role} into database ${database}; GRANT CONNECT ON DATABASE ${database} TO ${role}.`,
      ),
    );
  });

  test("a database in which the role may not make temporary tables, until it may", async () => {
    const role = await makeRole();
    const database = await makeDatabase(`owner ${role}`);
    await begin(urlOf({ role, database }));
    await administer(`revoke temporary on database ${database} from public, ${role}`);
    expect(await obstacle(urlOf({ role, database }))).toEqual(
      lasting(
        `Role ${role} may not make temporary tables in database ${database} (DATABASE_URL), which hold files of contacts on their way in; GRANT TEMPORARY ON DATABASE ${database} TO ${role}.`,
      ),
    );
    await administer(`grant temporary on database ${database} to ${role}`);
    await begin(urlOf({ role, database }));
  });

  test("tables that belong to another role", async () => {
    const role = await makeRole();
    const database = await makeDatabase();
    await migrate(urlOf({ database }));
    const { passes, sentence } = await obstacle(urlOf({ role, database }));
    expect(passes).toBe(false);
    expect(sentence).toBe(
      `${place} does not let role ${role} work in its schema (permission denied for table schema_migrations); Callsheet's tables must belong to that role.`,
    );
  });

  test.each([
    ["sslrootcert", "/nowhere.crt", "there is no such file"],
    ["sslcert", "/nowhere.crt", "there is no such file"],
    ["sslkey", "/nowhere.key", "there is no such file"],
    ["sslrootcert", tmpdir(), "it is a directory"],
    ["sslkey", "/dev/null", "it is no regular file"],
    ["sslrootcert", import.meta.filename, "it must hold certificates in PEM"],
    ["sslcert", import.meta.filename, "it must hold certificates in PEM"],
    ["sslkey", import.meta.filename, "it must hold a private key in PEM that needs no passphrase"],
  ])("a file of %s that cannot be used: %s", async (parameter, file, reason) => {
    expect(await obstacle(urlOf({ query: `?sslmode=verify-full&${parameter}=${file}` }))).toEqual(
      lasting(`DATABASE_URL: the file of ${parameter}, ${file}, cannot be used: ${reason}.`),
    );
  });
});

/** What is in the way of a start whose DATABASE_URL can be used. */
async function obstacleBehind(databaseUrl: string, directUrl: string): Promise<Obstacle> {
  const waiting = { signal: new AbortController().signal, waitsFor: () => {} };
  await checkDatabase(databaseUrl);
  await checkDatabase(directUrl, "DATABASE_DIRECT_URL");
  const error = await prepareDatabase({ databaseUrl, directUrl }, waiting).catch((thrown: unknown) => thrown);
  return obstacleOf(error, databaseUrl);
}

describe("where both URLs can be used, what fails over DATABASE_DIRECT_URL is said of it:", () => {
  const direct = `Postgres at localhost:${port} (DATABASE_DIRECT_URL)`;
  const elsewhere = { host: "localhost" };

  test("tables that belong to the role of DATABASE_URL", async () => {
    const role = await makeRole();
    const database = await makeDatabase();
    await migrate(urlOf({ database }));
    expect(await obstacleBehind(urlOf({ database }), urlOf({ ...elsewhere, role, database }))).toEqual(
      lasting(
        `${direct} does not let role ${role} work in its schema (permission denied for table schema_migrations); Callsheet's tables must belong to that role.`,
      ),
    );
  });

  test("no connection that is left", async () => {
    const role = await makeRole();
    const database = await makeDatabase(`owner ${role}`);
    await administer(`alter role ${role} connection limit 1`);
    expect(await obstacleBehind(urlOf({ database }), urlOf({ ...elsewhere, role, database }))).toEqual({
      passes: true,
      sentence: `${direct} has no connection left (too many connections for role "${role}"); raise that limit, or lower DATABASE_POOL_SIZE.`,
    });
  });
});

test("another program's table of the same name, in another schema, is no obstacle", async () => {
  const role = await makeRole();
  const database = await makeDatabase();
  await administer("create table schema_migrations (version text)", database);
  await administer(`create schema calls authorization ${role}`, database);
  await administer(`alter role ${role} set search_path = calls`);
  await begin(urlOf({ role, database }));
  await expect(begin(urlOf({ role, database }))).resolves.toBeUndefined();
});

describe("what passes by itself is waited for:", () => {
  test("nobody who listens", async () => {
    const closed = await freePort();
    expect(await obstacle(`postgres://u:secret@127.0.0.1:${closed}/x`)).toEqual({
      passes: true,
      sentence: `Postgres at 127.0.0.1:${closed} (DATABASE_URL) takes no connections; it must run there, and listen.`,
    });
  });

  test("a host that there is not", async () => {
    expect(await obstacle("postgres://u:secret@no-such-host.invalid/x")).toEqual({
      passes: true,
      sentence:
        "Postgres at no-such-host.invalid:5432 (DATABASE_URL) is not to be found; the name server must know that host.",
    });
  });

  test("a socket that is not there", async () => {
    expect(await obstacle(`postgres://u:secret@/x?host=${directory}`)).toEqual({
      passes: true,
      sentence: expect.stringMatching(
        /^Postgres at .* \(DATABASE_URL\) does not answer \(connect ENOENT .*\); .*\.$/,
      ),
    });
  });

  test("a server that hangs up", async () => {
    const hanging = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
    await once(hanging, "listening");
    const address = hanging.address();
    const at = address !== null && typeof address === "object" ? address.port : 0;
    const { passes, sentence } = await obstacle(`postgres://u:secret@127.0.0.1:${at}/x`);
    hanging.close();
    expect(passes).toBe(true);
    expect(sentence).toMatch(
      /^Postgres at 127\.0\.0\.1:\d+ \(DATABASE_URL\) does not answer \(.+\); [^\n]+\.$/,
    );
  });

  test("a server that takes connections and says nothing", async () => {
    const silent = createServer().listen(0, "127.0.0.1");
    await once(silent, "listening");
    const address = silent.address();
    const at = address !== null && typeof address === "object" ? address.port : 0;
    expect(await obstacle(`postgres://u:secret@127.0.0.1:${at}/x`)).toEqual({
      passes: true,
      sentence: `Postgres at 127.0.0.1:${at} (DATABASE_URL) does not answer (timeout expired); it must be reachable from here.`,
    });
    silent.close();
  }, 15_000);

  test("no connection that is left", async () => {
    const role = await makeRole();
    await administer(`alter role ${role} connection limit 0`);
    expect(await obstacle(urlOf({ role }))).toEqual({
      passes: true,
      sentence: `${place} has no connection left (too many connections for role "${role}"); raise that limit, or lower DATABASE_POOL_SIZE.`,
    });
  });
});

test("a server without TLS, where the URL asks for it", async () => {
  expect(await obstacle(urlOf({ query: "?sslmode=verify-full" }))).toEqual(
    lasting(`${place} does not speak TLS; switch ssl on there, or take sslmode out of the URL.`),
  );
});

describe("with a certificate", () => {
  const trusting = `?sslmode=verify-full&sslrootcert=${join(directory, "localhost.crt")}`;
  let onlyWithTls = "";

  beforeAll(async () => {
    const { certificate, key } = await writeSelfSigned(directory);
    onlyWithTls = await makeRole();
    writeData("server.crt", readFileSync(certificate, "utf8"));
    writeData("server.key", readFileSync(key, "utf8"));
    const rules = readFileSync(join(data, "pg_hba.conf"), "utf8");
    writeData(
      "pg_hba.conf",
      `hostssl all ${onlyWithTls} all scram-sha-256\nhost nowhere ${onlyWithTls} all reject\n`,
    );
    appendFileSync(join(data, "pg_hba.conf"), rules.replaceAll(/\ball\s+all\b/g, "all callsheet"));
    await administer("alter system set ssl = on");
    await administer("select pg_reload_conf()");
    await eventually(() => checkDatabase(urlOf({ host: "localhost", query: trusting })));
  });

  test("one that nobody has signed", async () => {
    const { passes, sentence } = await obstacle(urlOf({ host: "localhost", query: "?sslmode=verify-full" }));
    expect(passes).toBe(false);
    expect(sentence).toBe(
      `Postgres at localhost:${port} (DATABASE_URL) shows a certificate that is not trusted here (self-signed certificate); the URL must name its CA, as ?sslmode=verify-full&sslrootcert=FILE, and the host as the certificate has it.`,
    );
  });

  test("one for another host", async () => {
    const { passes, sentence } = await obstacle(urlOf({ query: trusting }));
    expect(passes).toBe(false);
    expect(sentence).toMatch(
      /^Postgres at 127\.0\.0\.1:\d+ \(DATABASE_URL\) shows a certificate .* the host as the certificate has it\.$/,
    );
  });

  test("a role that must come with TLS", async () => {
    expect(await obstacle(urlOf({ role: onlyWithTls }))).toEqual(
      lasting(
        `${place} does not let role ${onlyWithTls} into database callsheet without TLS; the URL must end with ?sslmode=verify-full, or its pg_hba.conf have a line for them.`,
      ),
    );
    const database = await makeDatabase(`owner ${onlyWithTls}`);
    await checkDatabase(urlOf({ role: onlyWithTls, database, host: "localhost", query: trusting }));
  });

  test("a role that may not come at all", async () => {
    const role = await makeRole();
    const { passes, sentence } = await obstacle(urlOf({ role, host: "localhost", query: trusting }));
    expect(passes).toBe(false);
    expect(sentence).toMatch(
      / does not let role \w+ into database callsheet \(no pg_hba\.conf entry .*\); its pg_hba\.conf must have a line for them\.$/,
    );
  });
});

test("no sentence holds a password", async () => {
  const role = await makeRole();
  const urls = [
    "postgres://u:hunter2@no-such-host.invalid/x",
    `postgres://u:hunter2@127.0.0.1:${await freePort()}/x`,
    urlOf({ role, password: "hunter2" }),
    urlOf({ role, password: "hunter2", query: "?sslrootcert=/nowhere" }),
  ];
  const found = await Promise.all(urls.map(obstacle));
  expect(JSON.stringify(found)).not.toContain("hunter2");
});

test("a standby, which takes no writes", async () => {
  await server[Symbol.asyncDispose]();
  writeData("standby.signal", "");
  await using standby = await start();
  expect(await obstacle(standby.url)).toEqual(
    lasting(
      "The database callsheet (DATABASE_URL) is a standby, which takes no writes; DATABASE_URL must name the primary.",
    ),
  );
});
