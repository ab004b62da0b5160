import { randomBytes } from "node:crypto";

/** A password with everything in it that means something in a URL. */
const password = `p#@%:/ &?=+[,${randomBytes(8).toString("hex")}`;

const schema = "calls";

/**
 * A database in which a role that may log in, and no more, owns a schema; nobody else lets it do anything. Answers its
 * URL, which names the schema, since its search_path does not.
 */
export async function makeOrdinaryRole(
  server: { url: string; query(text: string, where?: { database: string }): Promise<unknown> },
  database: string,
): Promise<string> {
  const role = database;
  const quoted = `'${password.replaceAll("'", "''")}'`;
  await server.query(
    `create role ${role} login nosuperuser nocreatedb nocreaterole noreplication password ${quoted}`,
  );
  await server.query(`create database ${database}`);
  await server.query(`revoke all on database ${database} from public`);
  await server.query(`grant connect, temporary on database ${database} to ${role}`);
  const inside = { database };
  await server.query("revoke all on schema public from public", inside);
  await server.query(`create schema ${schema} authorization ${role}`, inside);
  const url = new URL(server.url);
  const user = `${role}:${encodeURIComponent(password)}`;
  return `postgres://${user}@${url.host}/${database}?options=-csearch_path%3D${schema}`;
}
