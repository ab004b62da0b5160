import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { sql } from "kysely";
import { Client } from "pg";
import { pino } from "pino";
import { afterAll, describe, expect, inject, test } from "vitest";
import { generateApiKey, hashApiKey } from "../../src/domain/api-key.ts";
import { BatchJobStatus, Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { ensureOrganization, insertApiKey } from "../../src/postgres/api-keys.ts";
import { checkConnections } from "../../src/postgres/connections/check-connections.ts";
import { type Database, openDatabase } from "../../src/postgres/connections/database.ts";
import { often } from "../../src/postgres/connections/prepared.ts";
import { checkDatabase } from "../../src/postgres/connections/fitness.ts";
import { obstacleOf } from "../../src/postgres/connections/obstacle.ts";
import { openRedis } from "../../src/redis/connection.ts";
import { startService } from "../../src/service.ts";
import { runProgram } from "../support/command.ts";
import { cloneDatabase, createEmptyDatabase } from "../support/database.ts";
import { findPgBouncer, startPgBouncer } from "../support/servers/pgbouncer.ts";
import { connected } from "../support/parts.ts";
import { removeKeysUnder } from "../support/redis-keys.ts";
import { connectTo } from "../support/transports.ts";

const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());
const database = stack.use(await cloneDatabase());
const pgBouncer = await findPgBouncer();
const why = typeof pgBouncer === "string" ? ` (skipped: ${pgBouncer})` : "";

async function startPooler(settings: Record<string, string>, url = database.url) {
  if (typeof pgBouncer === "string") throw new Error(pgBouncer);
  return await startPgBouncer(pgBouncer, url, settings);
}

const refusesTransactions =
  "The connections of DATABASE_URL go through a pooler that gives each transaction another one of the server's, and files of contacts need one that stays; set DATABASE_DIRECT_URL to a URL that leads to Postgres itself.";

/** What people end up with after "unsupported startup parameter". */
const ignoring = {
  pool_mode: "transaction",
  ignore_startup_parameters:
    "extra_float_digits,options,statement_timeout,lock_timeout,idle_in_transaction_session_timeout",
};

const names = [
  "enable_seqscan",
  "enable_bitmapscan",
  "jit",
  "lock_timeout",
  "statement_timeout",
  "idle_in_transaction_session_timeout",
];
const ours = {
  enable_seqscan: "off",
  enable_bitmapscan: "off",
  jit: "off",
  lock_timeout: "5s",
  statement_timeout: "30s",
  idle_in_transaction_session_timeout: "10s",
};

async function settingsOf(db: Database): Promise<unknown> {
  const columns = names.map((name) => sql`current_setting(${name}) as ${sql.ref(name)}`);
  const { rows } = await sql`select ${sql.join(columns)}`.execute(db);
  return rows[0];
}

/** A replica; answers clients of two organizations. */
async function start(urls: { databaseUrl: string; databaseDirectUrl: string }) {
  await using opened = new AsyncDisposableStack();
  const prefix = `test-${randomBytes(6).toString("hex")}`;
  const redis = await connected(openRedis(inject("redisUrl")));
  opened.defer(() => redis.disconnect());
  opened.defer(() => removeKeysUnder(redis, prefix));
  await using direct = openDatabase({ url: database.url, poolSize: 1 });
  await direct.deleteFrom("installation").execute();
  const keys = [];
  for (const name of ["one", "two"]) {
    const organizationId = await ensureOrganization(direct, name);
    const key = generateApiKey();
    await insertApiKey(direct, {
      organizationId,
      name,
      role: "admin",
      hash: hashApiKey(key),
      expiresAt: null,
    });
    keys.push(key);
  }
  const service = opened.use(
    await startService({
      ...urls,
      databasePoolSize: 5,
      redisUrl: inject("redisUrl"),
      redisPrefix: prefix,
      host: "127.0.0.1",
      port: 0,
      grpcPort: 0,
      bootstrapApiKey: undefined,
      shutdownTimeoutMs: 5_000,
      logger: pino({ level: "silent" }),
    }),
  );
  const baseUrl = `http://127.0.0.1:${service.port}`;
  const running = opened.move();
  return {
    organizations: keys.map((key) => {
      const transport = connectTo(baseUrl, key);
      return {
        key,
        baseUrl,
        jobs: createClient(BatchJobService, transport),
        worker: createClient(ContactWorkerService, transport),
      };
    }),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

type Organization = Awaited<ReturnType<typeof start>>["organizations"][number];

const contactsInFile = 30_000;
const bothCompleted = [BatchJobStatus.COMPLETED, BatchJobStatus.COMPLETED];

/** Sends a file in pieces, with pauses in which others may get its connection. */
async function upload({ key, baseUrl }: Organization, batchJobId: string, area: number): Promise<unknown> {
  const rows = Array.from(
    { length: contactsInFile },
    (_, i) => `+1${area}${5_550_000 + i},Customer of ${area} ${i}\n`,
  );
  const file = Buffer.from(`phone,name\n${rows.join("")}`);
  async function* pieces() {
    const size = Math.ceil(file.length / 6);
    for (let at = 0; at < file.length; at += size) {
      yield file.subarray(at, at + size);
      await delay(100);
    }
  }
  const response = await fetch(`${baseUrl}/batch-jobs/${batchJobId}/contacts.csv`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: ReadableStream.from(pieces()),
    duplex: "half",
  } as RequestInit);
  return await response.json();
}

async function phonesOf({ jobs }: Organization, batchJobId: string): Promise<string[]> {
  const phones: string[] = [];
  let pageToken = "";
  do {
    const page = await jobs.listContacts({ batchJobId, pageSize: 1_000, pageToken });
    phones.push(...page.contacts.map(({ phone }) => phone));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return phones;
}

/** The phones of a job's file, which is read while others use its connections. */
async function download({ key, baseUrl }: Organization, batchJobId: string): Promise<string[]> {
  const url = `${baseUrl}/batch-jobs/${batchJobId}/contacts.csv`;
  const response = await fetch(url, { headers: { authorization: `Bearer ${key}` } });
  const lines = (await response.text()).trimEnd().split("\r\n");
  return lines.slice(1).map((line) => line.split(",", 1)[0] ?? "");
}

/**
 * Two organizations send a file each at once and read it again, and work a job each to its end; answers how that
 * ended.
 */
async function tellStory(organizations: readonly Organization[]): Promise<unknown> {
  const areas = [415, 416];
  const ids: string[] = [];
  for (const { jobs } of organizations) {
    ids.push((await jobs.createBatchJob({ name: "A list", fromPhoneNumberId: "pn_1" })).batchJobId);
  }
  const answers = await Promise.all(
    organizations.map((organization, i) => upload(organization, ids[i] ?? "", areas[i] ?? 0)),
  );
  expect(answers).toMatchObject(
    areas.map(() => ({ acceptedCount: contactsInFile, totalContacts: contactsInFile })),
  );
  for (const [i, organization] of organizations.entries()) {
    const phones = await phonesOf(organization, ids[i] ?? "");
    expect(phones).toHaveLength(contactsInFile);
    expect(phones.filter((phone) => !phone.startsWith(`+1${areas[i]}`))).toEqual([]);
  }
  const files = await Promise.all(
    organizations.map((organization, i) => download(organization, ids[i] ?? "")),
  );
  for (const [i, phones] of files.entries()) {
    expect(phones).toHaveLength(contactsInFile);
    expect(phones.filter((phone) => !phone.startsWith(`'+1${areas[i]}`))).toEqual([]);
  }
  return await Promise.all(
    organizations.map(async ({ jobs, worker }) => {
      const { batchJobId } = await jobs.createBatchJob({
        name: "A short one",
        fromPhoneNumberId: "pn_1",
        contacts: ["+14155550100", "+14155550101", "+14155550102"].map((phone) => ({ phone })),
      });
      await jobs.startBatchJob({ batchJobId });
      for (let left = 3; left > 0;) {
        const leased = await worker.leaseContacts({
          workerId: "worker-1",
          maxContacts: 3,
          wait: { seconds: 10n },
        });
        left -= leased.contacts.length;
        await worker.reportOutcomes({
          outcomes: leased.contacts.map(({ leaseId }) => ({ leaseId, outcome: Outcome.COMPLETED })),
        });
      }
      return (await jobs.getBatchJob({ batchJobId })).batchJob?.status;
    }),
  );
}

const complaint = async (urls: { databaseUrl: string; directUrl: string }): Promise<string> => {
  const error: unknown = await checkConnections(urls).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return error instanceof Error ? error.message : "there is nothing to complain about";
};

describe.skipIf(why !== "")(`through PgBouncer${why}`, () => {
  test.each([
    ["which ignores startup parameters", ignoring],
    ["which refuses startup parameters", { pool_mode: "transaction" }],
  ])(
    // Of ../cases it is two-files-at-once, with fewer rows.
    "in transaction mode, %s, every list is whole and its own, and jobs are worked",
    { timeout: 60_000 },
    async (_, settings) => {
      await using pooler = await startPooler(settings);
      await using service = await start({ databaseUrl: pooler.url, databaseDirectUrl: database.url });
      expect(await tellStory(service.organizations)).toEqual(bothCompleted);
    },
  );

  test("in transaction mode our settings hold for every statement, and are not left to others", async () => {
    await using pooler = await startPooler({ ...ignoring, default_pool_size: "1" });
    await using db = openDatabase({ url: pooler.url, poolSize: 2 });
    const stranger = new Client({ connectionString: pooler.url });
    await stranger.connect();
    const seen = async () => [
      await settingsOf(db),
      await db.transaction().execute((trx) => settingsOf(trx)),
      (await stranger.query("show lock_timeout")).rows[0],
    ];
    const expected = [ours, ours, { lock_timeout: "0" }];
    expect([await seen(), await seen()]).toEqual([expected, expected]);
    await stranger.end();
  });

  test("in transaction mode a statement that fails leaves its connection usable", async () => {
    await using pooler = await startPooler(ignoring);
    await using db = openDatabase({ url: pooler.url, poolSize: 1 });
    await expect(sql`select 1 / 0`.execute(db)).rejects.toThrow("division by zero");
    await expect(
      db.transaction().execute(async (trx) => await sql`select 1 / 0`.execute(trx)),
    ).rejects.toThrow("division by zero");
    expect(await settingsOf(db)).toEqual(ours);
  });

  test("in transaction mode no statement is prepared, which the next process would not know", async () => {
    await using pooler = await startPooler({ ...ignoring, server_round_robin: "1", min_pool_size: "3" });
    await using db = openDatabase({ url: pooler.url, poolSize: 3 });
    const read = async (n: number) =>
      (await sql<{ n: number }>`${often} select ${n}::int as n`.execute(db)).rows[0]?.n;
    const numbers = Array.from({ length: 30 }, (_, n) => n);
    expect(await Promise.all(numbers.map(read))).toEqual(numbers);
  });

  test("in transaction mode alone the start is refused, with what would work", async () => {
    await using pooler = await startPooler(ignoring);
    expect(await complaint({ databaseUrl: pooler.url, directUrl: pooler.url })).toBe(refusesTransactions);
  });

  test("so is one whose DATABASE_DIRECT_URL leads through it as well, whatever others do meanwhile", async () => {
    await using pooler = await startPooler({ ...ignoring, server_round_robin: "1", min_pool_size: "5" });
    await using db = openDatabase({ url: pooler.url, poolSize: 5 });
    const over = new AbortController();
    const others = Array.from({ length: 5 }, async () => {
      while (!over.signal.aborted) await settingsOf(db);
    });
    expect(await complaint({ databaseUrl: database.url, directUrl: pooler.url })).toBe(
      "The connections of DATABASE_DIRECT_URL go through a pooler that gives each transaction another one of the server's; it must lead to Postgres itself.",
    );
    over.abort();
    await Promise.all(others);
  });

  test("so are commands, many at once as well, which leave no lock behind, and work by the direct URL", async () => {
    await using empty = await createEmptyDatabase();
    await using pooler = await startPooler(ignoring, empty.url);
    const run = (settings: Record<string, string>) =>
      runProgram("src/access/keys.ts", ["create", "--role", "viewer"], {
        DATABASE_URL: pooler.url,
        ...settings,
      });
    const refused = { exitCode: 1, stdout: "", stderr: `${refusesTransactions}\n` };
    expect(await Promise.all([run({}), run({}), run({})])).toEqual([refused, refused, refused]);
    const client = new Client({ connectionString: empty.url });
    await client.connect();
    const ofThisDatabase = "database = (select oid from pg_database where datname = current_database())";
    const locks = await client.query(
      `select from pg_locks where locktype = 'advisory' and ${ofThisDatabase}`,
    );
    await client.end();
    expect(locks.rowCount).toBe(0);
    expect(await run({ DATABASE_DIRECT_URL: empty.url })).toMatchObject({ exitCode: 0, stderr: "" });
  });

  test("one that takes no more clients is told from one that does not answer", async () => {
    await using pooler = await startPooler({ ...ignoring, max_client_conn: "1" });
    await using db = openDatabase({ url: pooler.url, poolSize: 1 });
    await settingsOf(db);
    const refused: unknown = await checkDatabase(pooler.url).catch((error: unknown) => error);
    expect(obstacleOf(refused, pooler.url)).toEqual({
      passes: true,
      sentence: `Postgres at ${new URL(pooler.url).host} (DATABASE_URL) has no connection left (no more connections allowed (max_client_conn)); raise that limit, or lower DATABASE_POOL_SIZE.`,
    });
  });

  test("in statement mode the start is refused", async () => {
    await using pooler = await startPooler({ pool_mode: "statement" });
    expect(await complaint({ databaseUrl: pooler.url, directUrl: database.url })).toBe(
      "The pooler of DATABASE_URL gives each statement another connection of the server's; its pool_mode must be transaction or session.",
    );
  });

  test("with a parameter in the URL that it refuses, the start is refused", async () => {
    await using pooler = await startPooler({ pool_mode: "transaction" });
    const databaseUrl = `${pooler.url}?options=-c%20work_mem%3D8MB`;
    expect(await complaint({ databaseUrl, directUrl: database.url })).toBe(
      "The pooler of DATABASE_URL refuses the parameter options that the URL brings along; take it out of the URL, or name it in the pooler's ignore_startup_parameters.",
    );
  });

  test("in session mode nothing else is needed", { timeout: 60_000 }, async () => {
    await using pooler = await startPooler({ pool_mode: "session", default_pool_size: "40" });
    await using service = await start({ databaseUrl: pooler.url, databaseDirectUrl: pooler.url });
    expect(await tellStory(service.organizations)).toEqual(bothCompleted);
  });
});

test("a URL's own options hold beside ours, which it cannot change", async () => {
  const options = encodeURIComponent("-c enable_seqscan=on -c work_mem=8MB");
  const url = `${database.url}?options=${options}&lock_timeout=7000&statement_timeout=7000`;
  await using db = openDatabase({ url, poolSize: 1 });
  expect(await settingsOf(db)).toEqual(ours);
  const { rows } = await sql`show work_mem`.execute(db);
  expect(rows).toEqual([{ work_mem: "8MB" }]);
});

test("a DATABASE_DIRECT_URL that leads elsewhere is refused", async () => {
  await using other = await createEmptyDatabase();
  const elsewhere = [other.url, `${database.url}?options=-c%20search_path%3Dpg_catalog`];
  for (const directUrl of elsewhere) {
    expect(await complaint({ databaseUrl: database.url, directUrl })).toBe(
      "DATABASE_DIRECT_URL leads to another server, database or schema than DATABASE_URL; both must lead to the same one.",
    );
  }
  expect(await complaint({ databaseUrl: database.url, directUrl: database.url })).toBe(
    "there is nothing to complain about",
  );
});
