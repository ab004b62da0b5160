import { createBatchJobs } from "../../src/jobs/batch-jobs.ts";
import { createFanOut } from "../../src/starting/fan-out.ts";
import { RedisError } from "../../src/redis/connection.ts";
import type { Parts } from "./parts.ts";

/** The same object, but that every call of a method ends as `end` does. */
const broken = <T extends object>(real: T, end: () => Promise<never>): T =>
  new Proxy(real, { get: () => end });

const ways = {
  refuses: () => Promise.reject(new RedisError("Connection is closed.")),
  hangs: () => new Promise<never>(() => {}),
} as const;

/** The commands and queries of a replica that has Postgres, and whose every call of Redis fails in this way. */
export function jobsWithoutRedis(parts: Parts, way: keyof typeof ways = "refuses") {
  const { db, metrics, logger } = parts;
  const contactList = broken(parts.contactList, ways[way]);
  const fanOut = createFanOut({ db, contactList, metrics, logger });
  return createBatchJobs({ ...parts, schedule: broken(parts.schedule, ways[way]), contactList, fanOut });
}
