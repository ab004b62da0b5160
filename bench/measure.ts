import { readFile, readdir, writeFile } from "node:fs/promises";
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
  const fields = await fieldsOf(pid);
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** What Linux tells of a process, from its state on. */
async function fieldsOf(pid: number): Promise<string[]> {
  const [, rest = ""] = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ");
  return rest.split(" ");
}

const parentOf = (pid: number): Promise<number> =>
  fieldsOf(pid).then(
    (fields) => Number(fields[1]),
    () => 0,
  );

/** The same for Postgres as a whole: the server, those of its processes that live, and those that have ended. */
export async function postgresCpuSeconds(url: string): Promise<number> {
  const server = await withPostgres(url, async (client) => {
    const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid");
    return await parentOf(rows[0]?.pid ?? 0);
  });
  const processes = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const parents = await Promise.all(processes.map(parentOf));
  const children = processes.filter((_, i) => parents[i] === server);
  const living = await Promise.all(children.map((pid) => cpuSecondsOf(pid).catch(() => 0)));
  const ended = (await fieldsOf(server)).slice(13, 15).map(Number);
  return [...living, await cpuSecondsOf(server), ...ended.map((ticks) => ticks / 100)].reduce(
    (a, b) => a + b,
  );
}

export const redisCpuSeconds = (url: string): Promise<number> =>
  withRedis(url, async (redis) => {
    const info = await redis.info("cpu");
    const read = (field: string) => Number(new RegExp(`^${field}:([\\d.]+)`, "m").exec(info)?.[1]);
    return read("used_cpu_user") + read("used_cpu_sys");
  });

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
