import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { Client } from "pg";
import { afterAll, describe, expect, inject, test } from "vitest";
import { freePort } from "../../src/embedded/server-process.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { answered, bothListeners, callerFor } from "../service/callers.ts";
import { runProgram } from "../support/command.ts";
import { cloneDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { findDebianProgram, startProgram } from "../support/servers/debian-program.ts";
import { findPgBouncer, startPgBouncer } from "../support/servers/pgbouncer.ts";
import { startRedisServer } from "../support/servers/redis-servers.ts";
import { startTestService } from "../support/service.ts";
import { connectTo } from "../support/transports.ts";

/*
 * What people had around the service, or sent to it, when it failed them. The files of contacts are in
 * ../jobs/import/files, and two of them at once through a pooler in ../postgres/poolers.test.ts.
 */
const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());
const service = stack.use(await startTestService());
const database = stack.use(await cloneDatabase());

const fileOf = (name: string): string => readFileSync(join(import.meta.dirname, name), "utf8");
const unique = () => `case_${randomBytes(6).toString("hex")}`;

const prefix = unique();

/** Runs the statements as a superuser, with other names for the role and the database; answers the URL of both. */
async function prepareDatabase(file: string, itsName: string, after: AsyncDisposableStack): Promise<string> {
  const name = unique();
  const client = new Client({ connectionString: inject("adminUrl") });
  await client.connect();
  after.defer(async () => {
    await client.query(`drop database if exists ${name} with (force)`);
    await client.query(`drop role if exists ${name}`);
    await client.end();
  });
  const statements = fileOf(file)
    .replaceAll(/\bplain\b(?!')/g, name)
    .replaceAll(itsName, name);
  for (const statement of statements.split(";\n")) await client.query(statement);
  const url = new URL(inject("adminUrl"));
  [url.username, url.password, url.pathname] = [name, "plain", `/${name}`];
  return url.href;
}

async function redisFor(user: string, after: AsyncDisposableStack): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "callsheet-case-"));
  after.defer(() => rm(directory, { recursive: true, force: true }));
  const aclfile = join(directory, "redis-users.acl");
  await writeFile(aclfile, fileOf("redis-users.acl"));
  const { port } = after.use(await startRedisServer({ aclfile }));
  return `redis://${user}:secret@127.0.0.1:${port}`;
}

const pgBouncer = await findPgBouncer();
const nginx = await findDebianProgram({
  packageName: "nginx",
  file: "usr/sbin/nginx",
  versionFlag: "-v",
});

async function throughPgBouncer(after: AsyncDisposableStack): Promise<string> {
  if (typeof pgBouncer === "string") throw new Error(pgBouncer);
  const settings = fileOf("pgbouncer-transaction.ini").matchAll(/^(\w+) = (.*)$/gm);
  const all = Object.fromEntries([...settings].map(([, name = "", value = ""]) => [name, value]));
  return after.use(await startPgBouncer(pgBouncer, database.url, all)).url;
}

type Urls = { DATABASE_URL?: string; REDIS_URL?: string };
type Refused = {
  readonly file: string;
  readonly missing?: string | undefined;
  prepare(after: AsyncDisposableStack): Promise<Urls>;
  readonly sentence: RegExp;
};

const refused: Record<string, Refused> = {
  "a role that may not create tables": {
    file: "first-start-without-create.sql",
    prepare: async (after) => ({
      DATABASE_URL: await prepareDatabase("first-start-without-create.sql", "first_start", after),
    }),
    sentence: /may not create tables in schema public of database \w+ \(DATABASE_URL\); GRANT CREATE/,
  },
  "a database in LATIN1": {
    file: "latin1-database.sql",
    prepare: async (after) => ({
      DATABASE_URL: await prepareDatabase("latin1-database.sql", "latin1", after),
    }),
    sentence: /\(DATABASE_URL\) has the encoding LATIN1, which cannot hold every name;/,
  },
  "a Redis user without scripts": {
    file: "redis-users.acl",
    prepare: async (after) => ({ REDIS_URL: await redisFor("noscript", after) }),
    sentence: /Redis does not let the user of REDIS_URL run EVALSHA; it needs /,
  },
  "a Redis user with other keys": {
    file: "redis-users.acl",
    prepare: async (after) => ({ REDIS_URL: await redisFor("otherkeys", after) }),
    sentence: /Redis does not let the user of REDIS_URL use keys that start with \S+; it needs /,
  },
  "a pooler of transactions": {
    file: "pgbouncer-transaction.ini",
    missing: typeof pgBouncer === "string" ? pgBouncer : undefined,
    prepare: async (after) => ({ DATABASE_URL: await throughPgBouncer(after) }),
    sentence: /set DATABASE_DIRECT_URL to a URL that leads to Postgres itself\./,
  },
};

describe("the program does not start, and says in a sentence what would be right, with", () => {
  for (const [what, { file, missing, prepare, sentence }] of Object.entries(refused)) {
    const why = missing === undefined ? "" : ` (skipped: ${missing})`;
    test.skipIf(why !== "")(`${what}: ${file}${why}`, { timeout: 60_000 }, async () => {
      await using after = new AsyncDisposableStack();
      const { exitCode, stdout, stderr } = await runProgram("src/main.ts", [], {
        DATABASE_URL: database.url,
        REDIS_URL: inject("redisUrl"),
        REDIS_PREFIX: prefix,
        PORT: "0",
        GRPC_PORT: "0",
        ...(await prepare(after)),
      });
      expect({ exitCode, stdout, stderr }).toEqual({
        exitCode: 1,
        stdout: "",
        stderr: expect.stringMatching(sentence),
      });
    });
  }
});

const job = { fromPhoneNumberId: "pn_1", contacts: [{ phone: "+14155550100" }] };

describe("a command is answered and done, at whatever deadline, over", () => {
  test.each(bothListeners)("%s: deadline-30-days", async (name) => {
    const call = callerFor(name, service);
    for (const days of [1, 24, 25, 30, 45, 60]) {
      const jobName = `${name}, ${days} days`;
      const made = await call("createBatchJob", { ...job, name: jobName }, { timeoutMs: days * 86_400_000 });
      expect([days, made]).toMatchObject([days, { ok: { totalContacts: 1 } }]);
      expect(await answered(call("listBatchJobs", { nameContains: jobName }))).toMatchObject({
        batchJobs: [{ name: jobName }],
      });
    }
  });
});

test.each(["%21%21%21", "a", "%%%", "AAA"])(
  "a question that is no base64 is its caller's mistake: bad-base64, %s",
  async (message) => {
    const path = "/callsheet.v1.BatchJobService/ListBatchJobs?connect=v1&encoding=json&base64=1";
    const response = await fetch(`${service.httpUrl}${path}&message=${message}`, {
      headers: { authorization: `Bearer ${service.apiKey}` },
    });
    expect([response.status, await response.json()]).toMatchObject([400, { code: "invalid_argument" }]);
  },
);

const whyNoNginx = typeof nginx === "string" ? ` (skipped: ${nginx})` : "";
test.skipIf(whyNoNginx !== "")(
  `a watch says at once how its job is, behind nginx as it comes: nginx-default.conf${whyNoNginx}`,
  { timeout: 60_000 },
  async () => {
    if (typeof nginx === "string") throw new Error(nginx);
    await using after = new AsyncDisposableStack();
    const directory = await mkdtemp(join(tmpdir(), "callsheet-case-"));
    after.defer(() => rm(directory, { recursive: true, force: true }));
    const port = await freePort();
    const server = fileOf("nginx-default.conf")
      .replace("8085", String(port))
      .replace("8080", new URL(service.httpUrl).port);
    const kept = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (name) => `${name}_temp_path ${join(directory, name)};`,
    );
    const file = join(directory, "nginx.conf");
    await writeFile(
      file,
      `daemon off; error_log stderr; pid ${join(directory, "pid")}; events { }
       http { access_log off; ${kept.join(" ")} ${server} }`,
    );
    after.use(startProgram(nginx, ["-e", "stderr", "-c", file]));
    const baseUrl = `http://127.0.0.1:${port}`;
    await eventually(async () => expect((await fetch(`${baseUrl}/healthz`)).status).toBe(200));
    const jobs = createClient(BatchJobService, connectTo(baseUrl, service.apiKey));
    const { batchJobId } = await jobs.createBatchJob({ ...job, name: "Behind nginx" });
    // What nginx keeps until the stream ends would be read after the sign of life, together with it.
    const watching = jobs.watchBatchJobs({ batchJobIds: [batchJobId] })[Symbol.asyncIterator]();
    const names = [(await watching.next()).value?.batchJob?.name];
    await jobs.cancelBatchJob({ batchJobId });
    for (let next = await watching.next(); next.done !== true; next = await watching.next()) {
      names.push(next.value.batchJob?.name);
    }
    expect(names).toEqual(["Behind nginx", "Behind nginx"]);
  },
);
