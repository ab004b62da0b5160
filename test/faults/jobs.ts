import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { ensureOrganization } from "../../src/postgres/api-keys.ts";
import type { JobKey } from "../../src/redis/keys.ts";
import { keyOf, makeJobs } from "../support/make-many.ts";
import { makeContacts } from "../support/make.ts";
import type { Insist } from "./insist.ts";
import type { System } from "./system.ts";

const inMs = (ms: number): string => new Date(Date.now() + ms).toISOString();

/** A pending job of the clients' organization that is too large for a call. */
export async function makeLargeJob(system: System, contacts: number) {
  const job = await system.withDatabase(async (db) => {
    const organizationId = await ensureOrganization(db, "default");
    const caller = { apiKeyId: "", organizationId, role: "admin" as const };
    return (await makeJobs({ db, caller }, 1, { status: "pending", contacts }))[0];
  });
  if (job === undefined) throw new Error("no job was made");
  return keyOf(job);
}

/** So many calls at a time, and so long before its time a job is scheduled at the latest. */
const atATime = 20;
const leastMs = 3_000;

/**
 * Jobs of three contacts each, due one after another between these times from now, or somewhat later where the machine
 * is too busy for that. Answers their ids.
 */
export async function scheduleJobs(
  insist: Insist,
  count: number,
  due: { fromMs: number; toMs: number },
): Promise<string[]> {
  const spread = (due.toMs - due.fromMs) / count;
  const began = performance.now();
  const ids: string[] = [];
  while (ids.length < count) {
    const elapsed = performance.now() - began;
    const requests = Array.from({ length: Math.min(atATime, count - ids.length) }, (_, i) => ({
      requestId: randomUUID(),
      name: `Due ${ids.length + i + 1}`,
      fromPhoneNumberId: "pn_1",
      contacts: makeContacts(3),
      maxAttempts: 1,
      scheduledStartTime: inMs(Math.max(leastMs, due.fromMs + (ids.length + i) * spread - elapsed)),
    }));
    const answers = await Promise.all(
      requests.map((request) => insist("CreateBatchJob", ({ jobs }, o) => jobs.createBatchJob(request, o))),
    );
    ids.push(...answers.map(({ batchJobId }) => batchJobId));
  }
  return ids;
}

/** A job's list and how far its fan-out is, read again and again past all proxies while Redis comes and goes. */
export function watchList(system: System, job: JobKey) {
  const redis = new Redis(system.servers.redis.url(), { retryStrategy: () => 100 });
  redis.on("error", () => {});
  return {
    async position(): Promise<string | null> {
      return await redis.get(system.keys.position(job));
    },
    /** How many numbers are on the list, and the first few that are not where they should be. */
    async order(): Promise<{ length: number; wrong: string[] }> {
      const numbers = await redis.lrange(system.keys.contacts(job), 0, -1);
      const wrong = numbers.filter((number, i) => number !== String(i + 1)).slice(0, 5);
      return { length: numbers.length, wrong };
    },
    [Symbol.dispose]: () => redis.disconnect(),
  };
}

/** How far a position is. */
export const lastOf = (position: string | null): number => Number(position?.split(":")[1] ?? 0);
