import { mkdtempSync, rmSync, chmodSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { networkInterfaces } from "node:os";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readConfig } from "../../src/config.ts";
import { eventually } from "../support/eventually.ts";
import { type PostgresServer, startPostgresServer } from "../support/servers/postgres-servers.ts";

// A Postgres that asks everybody for a password, at two addresses and a socket.
const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());
const directory = mkdtempSync(join(tmpdir(), "callsheet-socket-"));
chmodSync(directory, 0o777);
stack.defer(() => rmSync(directory, { recursive: true, force: true }));
let server: PostgresServer;
const hasIpv6 = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === "::1"),
);

beforeAll(async () => {
  const listenAddresses = hasIpv6 ? "127.0.0.1,::1" : "127.0.0.1";
  server = stack.use(
    await startPostgresServer({
      settings: { listen_addresses: listenAddresses, unix_socket_directories: directory },
    }),
  );
  server.write(
    "pg_hba.conf",
    "host all callsheet 127.0.0.1/32 trust\nlocal all all scram-sha-256\nhost all all all scram-sha-256\n",
  );
  await server.query("select pg_reload_conf()");
});

/** Whom a connection to this URL makes us, and where. */
async function arrive(url: string): Promise<unknown> {
  const client = new Client({ connectionString: readConfig({ DATABASE_URL: url }).DATABASE_URL });
  try {
    await client.connect();
    const { rows } = await client.query(
      "select current_user as role, current_database() as database, current_schema() as schema",
    );
    return rows[0];
  } finally {
    await client.end();
  }
}

const encoded = encodeURIComponent;

describe("names and passwords arrive as they were meant:", () => {
  test.each(["#@%:/ &", "100%", "50%2F", "a+b=c,d;e$f", "[Łódź]?", "'\"\\", "%41"])("%s", async (name) => {
    const identifier = `"${name.replaceAll('"', '""')}"`;
    await server.query(`create role ${identifier} login password '${name.replaceAll("'", "''")}'`);
    const inName = name.replaceAll(/[#?]/g, "_");
    await server.query(`create database "${inName.replaceAll('"', '""')}"`);
    const address = `127.0.0.1:${server.port}/${encoded(inName)}`;
    expect(await arrive(`postgres://${encoded(name)}:${encoded(name)}@${address}`)).toEqual({
      role: name,
      database: inName,
      schema: "public",
    });
  });

  test("one that is not encoded where it need not be, beside one that is", async () => {
    await server.query("create role plain login password '5% a/b'");
    expect(await arrive(`postgres://plain:5% a%2Fb@127.0.0.1:${server.port}/postgres`)).toMatchObject({
      role: "plain",
    });
  });

  test("options, with a schema", async () => {
    await server.query("create role chooser login password 'x'");
    await server.query("create schema chosen authorization chooser");
    const url = `postgres://chooser:x@127.0.0.1:${server.port}/postgres?options=-csearch_path%3Dchosen`;
    expect(await arrive(url)).toMatchObject({ schema: "chosen" });
  });
});

test.each([
  (at: PostgresServer) => `postgres://local:x@/postgres?host=${directory}&port=${at.port}`,
  (at: PostgresServer) => `postgres://local:x@${encoded(directory)}:${at.port}/postgres`,
])("a socket is found (%#)", async (urlOf) => {
  await eventually(() => server.query("drop role if exists local"));
  await server.query("create role local login password 'x'");
  expect(await arrive(urlOf(server))).toMatchObject({ role: "local" });
});

test.runIf(hasIpv6)("an address of IPv6 is found", async () => {
  await server.query("create role six login password 'x'");
  expect(await arrive(`postgres://six:x@[::1]:${server.port}/postgres`)).toMatchObject({ role: "six" });
});

describe("what cannot be meant so is refused, without the password:", () => {
  test.each([
    ["postgres://u:hunter2@a:5432,b:5432/x", /names several hosts; it must name one/],
    ["postgres://u:hunter2@a,b/x?target_session_attrs=read-write", /names several hosts/],
    ["postgres://u:hunter2@/x?host=a,b", /names several hosts/],
    ["postgres://u:hunter2@a/x?sslmode=prefer", /sslmode=prefer, which would go on without TLS/],
    ["postgres://u:hunter2@a/x?sslmode=allow", /sslmode=allow, which would go on without TLS/],
    ["postgres://u:hunter2@a/x?sslmode=verify_full", /has an sslmode that there is not; it must be one of/],
    ["postgres://u:hunter2@a/x?sslmode=verify-ca", /sslmode=verify-ca without sslrootcert/],
    ["postgres://u:hunter2@a/x?sslmode=require&sslrootcert=system", /only with sslmode=verify-full/],
    ["postgres://u:hunter2@a/x%23y", /names a database with # or \?/],
  ])("%s", (url, words) => {
    for (const name of ["DATABASE_URL", "DATABASE_DIRECT_URL"]) {
      const read = () => readConfig({ [name]: url });
      expect(read).toThrow(new RegExp(`^${name}: [^\\n]*${words.source}[^\\n]*\\.$`));
      expect(read).toThrow(expect.not.stringContaining("hunter2"));
    }
  });
});
