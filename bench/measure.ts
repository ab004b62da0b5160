import { readFile, writeFile } from "node:fs/promises";
import { Redis } from "ioredis";
import { Client } from "pg";

/** The resident memory of a process, in MB: now, and the most since `forgetPeak`. */
export async function memoryOf(pid: number): Promise<{ now: number; peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const read = (field: string) =>
    Math.round(Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(status)?.[1]) / 1024);
  return { now: read("VmRSS"), peak: read("VmHWM") };
}

export const forgetPeak = (pid: number): Promise<void> => writeFile(`/proc/${pid}/clear_refs`, "5");

/** User and system time that a process has taken, in seconds. */
export async function cpuSecondsOf(pid: number): Promise<number> {
  const [, rest = ""] = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ");
  const fields = rest.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

export async function withPostgres<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Bytes of all tables, with their indexes. */
export const postgresBytes = (url: string): Promise<number> =>
  withPostgres(url, async (client) => {
    const { rows } = await client.query<{ bytes: string }>(
      "select sum(pg_total_relation_size(oid)) as bytes from pg_class where relkind = 'r' and relpersistence = 'p' and relnamespace::regnamespace::text !~ '^(pg_|information)'",
    );
    return Number(rows[0]?.bytes);
  });

export async function withRedis<T>(url: string, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url);
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}

export const redisBytes = (redis: Redis): Promise<number> =>
  redis.info("memory").then((info) => Number(/^used_memory:(\d+)/m.exec(info)?.[1]));
