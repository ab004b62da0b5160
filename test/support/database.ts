import { randomBytes } from "node:crypto";
import { Client } from "pg";
import { inject } from "vitest";

/** Runs this as a superuser. */
export async function administer(statement: string, { database } = { database: "postgres" }): Promise<void> {
  const url = new URL(inject("adminUrl"));
  url.pathname = `/${database}`;
  const client = new Client({ connectionString: url.href });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

/** A database of its own for one test, with the schema in it; dropped with whoever still uses it. */
export const cloneDatabase = (): Promise<AsyncDisposable & { url: string }> =>
  createDatabase(`template ${new URL(inject("databaseUrl")).pathname.slice(1)} strategy file_copy`);

/** The same without the schema. */
export const createEmptyDatabase = (): Promise<AsyncDisposable & { url: string }> =>
  createDatabase(`template ${inject("emptyTemplate")}`);

async function createDatabase(how: string): Promise<AsyncDisposable & { url: string }> {
  const name = `test_${randomBytes(6).toString("hex")}`;
  const url = new URL(inject("databaseUrl"));
  await administer(`create database ${name} ${how}`);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    [Symbol.asyncDispose]: () => administer(`drop database ${name} with (force)`),
  };
}
