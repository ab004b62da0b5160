import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { generateApiKey } from "../src/domain/api-key.ts";
import { Outcome } from "../src/gen/callsheet/v1/batch_job_pb.ts";
import { makeContacts } from "./support/make.ts";
import { refusal } from "./support/refusal.ts";
import { type Replica, startReplica } from "./support/replica.ts";
import { findPostgres15 } from "./support/servers/postgres-15.ts";
import { startPostgresServer } from "./support/servers/postgres-servers.ts";
import { startRedisServer } from "./support/servers/redis-servers.ts";

/*
 * What is left of a person whom EraseContacts has taken out, wherever something might be: in a dump that is made then,
 * in exports, in what the service has said to Redis, in its metrics, and in all that it logs when it logs all.
 */

const person = { phone: "+4915123456781", name: "Ada Lovelace", fields: { town: "Kirkby" } };
const written = "0151 234 56781";
const said = { errorCode: "ada-hung-up", failureReason: "Ada was asleep", providerCallId: "call-of-ada" };
const texts = ["15123456781", written, encodeURIComponent(written), "Ada Lovelace", "Lovelace", "Kirkby"];
const traces = [...texts, ...Object.values(said), ...texts.map((text) => Buffer.from(text).toString("hex"))];
const tracesIn = (text: string) => traces.filter((trace) => text.includes(trace));

const apiKey = generateApiKey();
const authorization = `Bearer ${apiKey}`;

async function get(replica: Replica, path: string): Promise<string> {
  const response = await fetch(`${replica.httpUrl}${path}`, { headers: { authorization } });
  return await response.text();
}

/** A person is added in every way, called, looked for, and asked for where there is nothing; answers the jobs. */
async function meet(replica: Replica): Promise<string[]> {
  const { jobs, worker, suppression } = replica.clients;
  const job = { fromPhoneNumberId: "pn_1", retryOn: [Outcome.BUSY] };
  const contacts = [person, ...makeContacts(3)];
  const { batchJobId: called } = await jobs.createBatchJob({ ...job, name: "Called", contacts });
  await jobs.startBatchJob({ batchJobId: called });
  const asked = { workerId: "w", requestId: "r", maxContacts: 3, wait: { seconds: 30n } };
  const leases = (await worker.leaseContacts(asked)).contacts;
  const outcomes = leases.map(({ leaseId, number }) => ({
    leaseId,
    outcome: Outcome.BUSY,
    ...(number === 1 ? said : {}),
  }));
  await worker.reportOutcomes({ outcomes: outcomes.slice(0, 2) });
  const { batchJobId: fromFile } = await jobs.createBatchJob({ ...job, name: "From a file" });
  const row = `${person.name};${written};Kirkby`;
  const response = await fetch(`${replica.httpUrl}/batch-jobs/${fromFile}/contacts.csv?default_region=DE`, {
    method: "POST",
    headers: { authorization, "content-type": "text/csv" },
    body: `Name;Telefon;town\n${row}\n${row}\nNobody;123;Kirkby\n`,
  });
  expect(await response.json()).toMatchObject({ acceptedCount: 1, rejectedContactsCount: 2 });
  const copyContacts = { batchJobId: fromFile };
  const { batchJobId: copied } = await jobs.createBatchJob({ ...job, name: "Again", copyContacts });
  await suppression.addSuppressedPhones({ phones: [{ phone: person.phone, reason: "asked" }] });
  await suppression.checkSuppressedPhones({ phones: [person.phone] });
  expect((await jobs.findContacts({ phone: person.phone })).contacts).toHaveLength(3);
  const inQuery = encodeURIComponent(JSON.stringify({ phone: person.phone }));
  const found = await get(
    replica,
    `/callsheet.v1.BatchJobService/FindContacts?connect=v1&encoding=json&message=${inQuery}`,
  );
  expect(tracesIn(found)).toContain(person.name);
  for (const path of [
    `/contacts/${encodeURIComponent(person.phone)}`,
    `/batch-jobs/${encodeURIComponent(written)}`,
  ])
    expect(await get(replica, path)).toContain("not");
  for (const refused of [
    jobs.findContacts({ phone: written }),
    jobs.addContacts({ batchJobId: person.phone, contacts: [person] }),
    jobs.createBatchJob({ ...job, name: "Only", contacts: [{ ...person, name: "\t" }] }),
  ])
    await refusal(refused);
  return [called, fromFile, copied];
}

test("nothing of a person who was erased is in a dump, an export, Redis, the metrics or the log", async () => {
  const binaries = await findPostgres15();
  if (typeof binaries === "string") throw new Error(binaries);
  await using postgres = await startPostgresServer({ binaries });
  await postgres.query("create database callsheet");
  const postgresUrl = postgres.url.replace(/postgres$/, "callsheet");
  await using redis = await startRedisServer();
  const toldRedis: string[] = [];
  const monitor = await redis.admin.monitor();
  monitor.on("monitor", (_, words: string[]) => void toldRedis.push(words.join(" ")));
  const dump = async () => {
    const most = { env: binaries.env, maxBuffer: 256 * 1024 ** 2 };
    return (await promisify(execFile)(join(binaries.directory, "pg_dump"), [postgresUrl], most)).stdout;
  };

  await using replica = await startReplica({
    name: "the service",
    postgresUrl: () => postgresUrl,
    redisUrl: () => redis.url,
    apiKey,
    settings: { LOG_LEVEL: "trace", ERASURE_KEY: "a key that is long enough, and no secret" },
  });
  const jobs = await meet(replica);
  const exports = async () => {
    const files = jobs.map((id) => get(replica, `/batch-jobs/${id}/contacts.csv?include_attempts=true`));
    return (await Promise.all(files)).join("\n");
  };
  // What is to be gone is there, and would be seen.
  expect(tracesIn(await dump())).toEqual(
    expect.arrayContaining([...texts.slice(0, 1), ...Object.values(said)]),
  );
  expect(tracesIn(await exports())).toEqual(expect.arrayContaining([person.name, ...Object.values(said)]));

  const erased = await replica.clients.jobs.eraseContacts({ phone: person.phone, reason: "in writing" });
  expect(erased).toMatchObject({ erasedContacts: 3 });
  const left = { dump: tracesIn(await dump()), exports: tracesIn(await exports()) };
  const metrics = await get(replica, "/metrics");
  expect(metrics).toContain("callsheet_");
  await replica.stop();
  monitor.disconnect();
  expect(replica.log()).toContain("EraseContacts");
  expect(toldRedis.length).toBeGreaterThan(0);
  expect({
    ...left,
    metrics: tracesIn(metrics),
    redis: tracesIn(toldRedis.join("\n")),
    log: tracesIn(replica.log()),
  }).toEqual({ dump: [], exports: [], metrics: [], redis: [], log: [] });
}, 120_000);
