import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { generateApiKey } from "../src/domain/api-key.ts";
import { BatchJobStatus, Outcome } from "../src/gen/callsheet/v1/batch_job_pb.ts";
import { eventually } from "./support/eventually.ts";
import { startMain } from "./support/main.ts";
import { makeContacts } from "./support/make.ts";
import { findPostgres15 } from "./support/servers/postgres-15.ts";
import { startPostgresServer } from "./support/servers/postgres-servers.ts";
import { startRedisServer } from "./support/servers/redis-servers.ts";
import { createClients } from "./support/replica.ts";

/*
 * The drill of docs/operating.md: a dump is taken of a service at work, which goes on for a while and is then lost with
 * its Postgres and its Redis; the dump is restored beside an empty Redis, and all that it knows goes on.
 */

const apiKey = generateApiKey();

/** A replica with its servers, and clients of it. */
async function startReplica(databaseUrl: string, redisUrl: string) {
  const program = await startMain({
    DATABASE_URL: databaseUrl,
    DATABASE_POOL_SIZE: "6",
    REDIS_URL: redisUrl,
    CALLSHEET_BOOTSTRAP_API_KEY: apiKey,
    LOG_LEVEL: "warn",
  });
  return {
    ...createClients(program.grpcUrl, apiKey),
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}

type Replica = Awaited<ReturnType<typeof startReplica>>;

/** Leases so many contacts of a job, and reports some of them as completed. */
async function work({ worker }: Replica, batchJobId: string, most: number, reported: number) {
  // Longer than the drill takes on any machine.
  const leaseDuration = { seconds: 3_600n };
  const lease = {
    workerId: "w",
    maxContacts: most,
    batchJobIds: [batchJobId],
    wait: { seconds: 30n },
    leaseDuration,
  };
  const { contacts } = await worker.leaseContacts(lease);
  const outcomes = contacts
    .slice(0, reported)
    .map(({ leaseId }) => ({ leaseId, outcome: Outcome.COMPLETED }));
  if (outcomes.length > 0) await worker.reportOutcomes({ outcomes });
  return contacts.map(({ number }) => number);
}

test("a dump that is restored beside an empty Redis goes on with all that it knows, and calls nobody twice", async () => {
  const binaries = await findPostgres15();
  if (typeof binaries === "string") throw new Error(binaries);
  await using postgres = await startPostgresServer({ binaries });
  await using redis = await startRedisServer();
  const urlOf = (name: string) => postgres.url.replace(/postgres$/, name);
  const run = (program: string, ...args: string[]) =>
    promisify(execFile)(join(binaries.directory, program), args, { env: binaries.env });
  const dump = join(tmpdir(), `callsheet-${randomUUID()}.dump`);

  try {
    await postgres.query("create database before");
    let running = "";
    let scheduled = "";
    const known: number[] = [];
    {
      await using first = await startReplica(urlOf("before"), redis.url);
      const job = { fromPhoneNumberId: "pn_1", concurrentCallLimit: 10 };
      ({ batchJobId: running } = await first.jobs.createBatchJob({
        ...job,
        name: "Runs",
        contacts: makeContacts(20),
      }));
      await first.jobs.startBatchJob({ batchJobId: running });
      const scheduledStartTime = new Date(Date.now() + 15_000).toISOString();
      const later = { ...job, name: "Is due", contacts: makeContacts(3), scheduledStartTime };
      ({ batchJobId: scheduled } = await first.jobs.createBatchJob(later));
      // Six are called, of whom four have been reported: the dump has two live leases.
      known.push(...(await work(first, running, 6, 4)));

      await run("pg_dump", "--format=custom", `--file=${dump}`, urlOf("before"));
      // What comes after the dump is lost with the servers.
      await work(first, running, 2, 2);
    }

    // A copy of a database is the same installation, so that the original's Redis would not be told from its own.
    await postgres.query("create database restored");
    await run("pg_restore", "--exit-on-error", "--no-owner", `--dbname=${urlOf("restored")}`, dump);
    await using empty = await startRedisServer();
    await using second = await startReplica(urlOf("restored"), empty.url);

    // The job that is due starts, late or in time.
    await eventually(async () => {
      const { batchJob } = await second.jobs.getBatchJob({ batchJobId: scheduled });
      expect(batchJob?.status).toBe(BatchJobStatus.RUNNING);
    }, 60_000);
    expect(await work(second, scheduled, 10, 3)).toEqual([1, 2, 3]);

    // All contacts of the running job but those that the dump knows are called, each once.
    const called: number[] = [];
    while (called.length < 14) called.push(...(await work(second, running, 10, 10)));
    expect(called.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 14 }, (_, i) => i + 7));
    expect(known.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6]);
    const { batchJob } = await second.jobs.getBatchJob({ batchJobId: running });
    expect(batchJob?.counts).toMatchObject({ total: 20, completed: 18, dialing: 2, pending: 0 });
  } finally {
    await rm(dump, { force: true });
  }
}, 240_000);
