import type { JsonObject } from "@bufbuild/protobuf";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { generateApiKey } from "../../src/domain/api-key.ts";
import { openDatabase } from "../../src/postgres/connections/database.ts";
import { openRedis } from "../../src/redis/connection.ts";
import { createKeys } from "../../src/redis/keys.ts";
import { cloneDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { mainSettings, startMain } from "../support/main.ts";
import { type Method, type Ports, answered, bothListeners, callerFor } from "./callers.ts";

// The real program, whose standard error is the log, down to the last detail.
const stack = new AsyncDisposableStack();
const database = stack.use(await cloneDatabase());
const apiKey = generateApiKey();
const settings = mainSettings(database.url, apiKey);
const program = stack.use(await startMain({ ...settings, LOG_LEVEL: "trace" }));
const db = openDatabase({ url: database.url, poolSize: 2 });
const redis = openRedis(inject("redisUrl"));
stack.defer(() => db.destroy());
stack.defer(() => redis.disconnect());
afterAll(() => stack.disposeAsync());

const ports: Ports = { ...program, apiKey };

const call = callerFor("plain fetch", ports);
type Line = Record<string, unknown> & { msg?: string; err?: Record<string, unknown> };
const lines = (): Line[] =>
  program.said.stderr
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line));
const linesWith = (field: string, value: unknown) => lines().filter((line) => line[field] === value);

/** Makes a call and answers its call id. */
async function callIdOf(name: (typeof bothListeners)[number], method: Method, request: JsonObject) {
  const ids: (string | null)[] = [];
  await callerFor(name, ports)(method, request, {
    onHeader: (header) => ids.push(header.get("callsheet-call-id")),
  });
  return ids[0] ?? "no call id";
}

const phones = ["+4915123456789", "+4915199999999"] as const;
const secrets = {
  names: ["Ada Lovelace-Byron", "Grace Brewster Hopper", "campaign of secrets"],
  fields: ["birthday", "1815-12-10"],
  numbers: [...phones, ...phones.map((phone) => phone.slice(1)), "pn_secret"],
  keys: [apiKey, apiKey.slice(3), "cs_this-is-not-a-key-but-looks-like-one-0123456789"],
};
const contacts = [
  { phone: phones[0], name: "Ada Lovelace-Byron", fields: { birthday: "1815-12-10" } },
  { phone: phones[1], name: "Grace Brewster Hopper" },
];
const aJob = { name: "campaign of secrets", fromPhoneNumberId: "pn_secret", contacts };
const create = async (fields: JsonObject = {}) =>
  (await answered<{ batchJobId: string }>(call("createBatchJob", { ...aJob, ...fields }))).batchJobId;

describe.each(bothListeners)("%s", (name) => {
  test("finds its command in the log under the call id of its answer", async () => {
    const batchJobId = await create();
    const callId = await callIdOf(name, "startBatchJob", { batchJobId, requestId: `start ${batchJobId}` });
    await eventually(() =>
      expect(linesWith("callId", callId)).toEqual([
        expect.objectContaining({
          level: 30,
          msg: "call ended",
          method: "callsheet.v1.BatchJobService/StartBatchJob",
          code: "ok",
          batchJobId,
          requestId: `start ${batchJobId}`,
          organizationId: expect.any(Number),
          apiKeyId: expect.stringMatching(/^[0-9a-f-]{36}$/),
          durationMs: expect.any(Number),
        }),
      ]),
    );
  });

  test("finds a refusal in the log under the call id of its answer", async () => {
    const callId = await callIdOf(name, "cancelBatchJob", { batchJobId: "7" });
    await eventually(() =>
      expect(linesWith("callId", callId)).toEqual([
        expect.objectContaining({ level: 30, code: "not_found" }),
      ]),
    );
  });

  test("finds a read that was answered at debug level only", async () => {
    const callId = await callIdOf(name, "listBatchJobs", {});
    await eventually(() =>
      expect(linesWith("callId", callId)).toEqual([expect.objectContaining({ level: 20, code: "ok" })]),
    );
  });
});

test("an id that is none is not written to the log at length", async () => {
  const long = `${"x".repeat(100_000)}${phones[0]}`;
  const callId = await callIdOf("plain fetch", "startBatchJob", { batchJobId: long, requestId: long });
  await eventually(() => expect(linesWith("callId", callId)).toHaveLength(1));
  expect(JSON.stringify(linesWith("callId", callId)).length).toBeLessThan(2_000);
});

describe("when something goes wrong that nobody expected", () => {
  const phone = "+4915177777777";
  const internal = { refused: { code: "internal", message: "internal error", details: [] } };

  beforeAll(async () => {
    // From now on each of these jobs breaks a rule of the database in its own way.
    await sql`alter table batch_jobs add constraint no_secrets check (name not like '%broken%')`.execute(db);
    await sql`create unique index one_name on batch_jobs (name) where name like 'twice%'`.execute(db);
  });

  test.each(bothListeners)("%s learns nothing, and the log says what it was", async (name) => {
    const request = {
      ...aJob,
      name: "broken campaign of secrets",
      contacts: [{ phone, name: "Ada Lovelace-Byron" }],
    };
    const ask = callerFor(name, ports);
    expect(await ask("createBatchJob", request)).toEqual(internal);
    await eventually(() =>
      expect(linesWith("msg", "unexpected error").at(-1)).toMatchObject({
        level: 50,
        err: { code: "23514", constraint: "no_secrets", table: "batch_jobs" },
      }),
    );
  });

  test("an index that is violated names no values", async () => {
    const request = { ...aJob, name: "twice the campaign of secrets" };
    await answered(call("createBatchJob", request));
    expect(await call("createBatchJob", request)).toEqual(internal);
    await eventually(() =>
      expect(linesWith("msg", "unexpected error").at(-1)).toMatchObject({ err: { code: "23505" } }),
    );
  });

  test("Redis with something else under our key is no obstacle, and names no values", async () => {
    await redis.set(createKeys(settings.REDIS_PREFIX).due, "campaign of secrets");
    expect(await call("createBatchJob", { ...aJob, scheduledStartTime: "2031-01-01T10:00" })).toHaveProperty(
      "ok",
    );
    await eventually(() =>
      expect(linesWith("msg", "the Redis half of a command is left to the sweep").at(-1)).toMatchObject({
        level: 40,
        err: { type: "RedisError", message: expect.stringMatching(/WRONGTYPE/) },
      }),
    );
    await redis.del(createKeys(settings.REDIS_PREFIX).due);
  });

  test("a table that is gone is named", async () => {
    const batchJobId = await create();
    await sql`alter table contact_blocks rename to elsewhere`.execute(db);
    expect(
      await call("addContacts", { batchJobId, contacts: [{ phone, name: "Grace Brewster Hopper" }] }),
    ).toEqual(internal);
    await eventually(() =>
      expect(linesWith("msg", "unexpected error").at(-1)).toMatchObject({ err: { code: "42P01" } }),
    );
    await sql`alter table elsewhere rename to contact_blocks`.execute(db);
  });
});

describe("after all this, no line of the log, nor anything else that was printed, holds", () => {
  beforeAll(async () => {
    const batchJobId = await create();
    await call("addContacts", {
      batchJobId,
      contacts: [{ phone: phones[0], name: "Grace Brewster Hopper" }],
    });
    await call("listContacts", { batchJobId });
    await call("createBatchJob", { ...aJob, fromPhoneNumberId: "" });
    await call("createBatchJob", { ...aJob, contacts: [{ phone: `${phones[0]} x` }] });
    for (const key of secrets.keys) {
      for (const name of bothListeners) {
        await callerFor(name, { ...ports, authorization: `Basic ${key}` })(
          "createBatchJob",
          aJob as JsonObject,
        );
        await callerFor(name, { ...ports, authorization: `Bearer ${key}` })("listBatchJobs", {});
      }
    }
  });

  test.each(Object.entries(secrets))("%s", async (_, words) => {
    const callId = await callIdOf("plain fetch", "listBatchJobs", {});
    await eventually(() => expect(linesWith("callId", callId)).toHaveLength(1));
    const printed = program.said.stderr + program.said.stdout;
    expect(words.filter((word) => printed.includes(word))).toEqual([]);
  });

  test("anything that is not one JSON object", () => {
    const others = program.said.stderr.split("\n").filter((line) => line !== "" && !line.startsWith("{"));
    expect(others).toEqual([]);
  });
});
