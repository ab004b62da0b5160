import { sql } from "kysely";
import type { Parts } from "./parts.ts";
import { keysUnder } from "./redis-keys.ts";

type Row = Record<string, unknown>;

async function readKey({ redis }: Parts, key: string): Promise<unknown> {
  switch (await redis.type(key)) {
    case "zset":
      return await redis.zrange(key, "0", "-1", "WITHSCORES");
    case "list":
      return await redis.lrange(key, 0, -1);
    default:
      return await redis.get(key);
  }
}

/** Every key under the prefix of these parts, with what it holds. */
export async function allKeys(parts: Parts): Promise<Record<string, unknown>> {
  const names = (await keysUnder(parts.redis, parts.prefix)).toSorted();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readKey(parts, name)] as const)),
  );
}

async function allRows({ db }: Parts): Promise<Record<string, Row[]>> {
  const tables = [
    "batch_jobs",
    "contact_blocks",
    "attempts",
    "contact_phones",
    "sorted_phones",
    "deleted_jobs",
    "requests",
    "organizations",
    "events",
    "job_labels",
    "erased_phones",
    "webhook_endpoints",
    "webhook_deliveries",
  ];
  const rows = tables.map(async (table) => {
    const { rows: all } = await sql<Row>`select * from ${sql.table(table)} as t order by t::text`.execute(db);
    return [table, all] as const;
  });
  return Object.fromEntries(await Promise.all(rows));
}

/** Every row and every key there is, to see that nothing has changed. */
export const everything = async (parts: Parts) => ({
  rows: await allRows(parts),
  keys: await allKeys(parts),
});

export type Everything = Awaited<ReturnType<typeof everything>>;

/** The same without one job: its rows, its keys, and entries that stood or stand for it. */
export function without(
  { rows, keys }: Everything,
  jobId: string,
  entries: readonly (string | null | undefined)[],
): Everything {
  const isOther = (row: Row) => ![row["id"], row["job_id"], row["batch_job_id"]].includes(jobId);
  const isOtherEntry = (_: unknown, i: number, members: unknown[]) =>
    !entries.some((entry) => entry === members[i - (i % 2)]);
  const cut = (value: unknown) => (Array.isArray(value) ? value.filter(isOtherEntry) : value);
  return {
    rows: Object.fromEntries(Object.entries(rows).map(([table, all]) => [table, all.filter(isOther)])),
    keys: Object.fromEntries(
      Object.entries(keys)
        .filter(([name]) => !name.includes(jobId))
        .map(([name, value]) => [name, cut(value)]),
    ),
  };
}
