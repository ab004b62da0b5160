import { sql } from "kysely";
import type { Database } from "../../src/postgres/connections/database.ts";

/** Every column of every table, and of what Postgres knows of their contents. */
async function columnsOf(db: Database): Promise<{ table: string; column: string }[]> {
  const { rows } = await sql<{ table: string; column: string }>`
    select c.oid::regclass::text as "table", a.attname as "column"
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where (c.relkind in ('r', 'p', 'm') and c.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace))
      or c.oid in ('pg_stats'::regclass, 'pg_description'::regclass)
    order by 1, 2`.execute(db);
  return rows;
}

/** Which of the texts are in which columns, whatever their types: in them they would be in a dump, too. */
export async function placesOf(db: Database, texts: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const [table, columns] of Map.groupBy(await columnsOf(db), (one) => one.table)) {
    const values = columns.map(({ column }) => sql`(${column}::text, ${sql.ref(`t.${column}`)}::text)`);
    const { rows } = await sql<{ text: string; column: string }>`
      select distinct g.text, v.name as "column" from ${sql.raw(table)} as t
      cross join lateral (values ${sql.join(values)}) as v (name, value)
      join unnest(${texts}::text[]) as g (text)
        on strpos(v.value, g.text) > 0 or strpos(v.value, encode(convert_to(g.text, 'UTF8'), 'hex')) > 0
      order by 1, 2`.execute(db);
    found.push(...rows.map(({ text, column }) => `${text} in ${table}.${column}`));
  }
  return found;
}
