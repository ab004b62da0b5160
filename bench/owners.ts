// What it costs that every row of a job says whose it is, and that keys begin with that: the same work beside keys that
// begin with the job. Statements name the organization in both; without it in a key that is one more comparison.
import { type Terms, dispatch } from "./dispatch.ts";
import type { FreshService } from "./fresh-service.ts";
import { importAndStart } from "./import.ts";
import { withPostgres } from "./measure.ts";
import type { Sample, Sizes, Workload } from "./workload.ts";

/** The tables of what jobs have, on whose way contacts come in and are worked. */
const tables = [
  "contact_blocks",
  "contact_phones",
  "sorted_phones",
  "leases",
  "retries",
  "attempts",
  "zone_sets",
];

/** Makes their keys and indexes, and the key of jobs, anew without the organization. */
const takeOwnersFromKeys = ({ databaseUrl }: FreshService) =>
  withPostgres(databaseUrl, async (client) => {
    const { rows } = await client.query<{ table: string; name: string; definition: string; isKey: boolean }>(
      `select tablename as table, indexname as name, indexdef as definition, indexname like '%\\_pkey' as "isKey"
       from pg_indexes where schemaname = current_schema()
         and (tablename = any($1) and indexdef like '%(organization_id, job_id%' or indexname = 'batch_jobs_pkey')`,
      [tables],
    );
    for (const { table, name, definition, isKey } of rows) {
      const narrow = definition.replace("(organization_id, ", "(");
      if (!isKey) await client.query(`drop index ${name}; ${narrow}`);
      else {
        const columns = narrow.slice(narrow.lastIndexOf("("));
        await client.query(
          `alter table ${table} drop constraint ${name} cascade, add constraint ${name} primary key ${columns}`,
        );
      }
    }
    // Went with the key of jobs.
    await client.query(
      "alter table sorted_phones add foreign key (job_id) references batch_jobs (id) on delete cascade",
    );
    if (rows.length < tables.length) throw new Error(`${rows.length} keys begin with the organization`);
  });

/** What the tables take, packed; without owners they have no column for them either. */
async function takeRows(service: FreshService, isWithOwners: boolean): Promise<number> {
  return await withPostgres(service.databaseUrl, async (client) => {
    let bytes = 0;
    // The log is one for an organization, with or without it in what jobs have.
    await client.query("drop index attempts_in_log");
    for (const table of tables) {
      if (!isWithOwners) await client.query(`alter table ${table} drop column organization_id cascade`);
      await client.query(`vacuum (full) ${table}`);
      const { rows } = await client.query<{ bytes: number }>(
        "select pg_total_relation_size($1::regclass)::float8 as bytes",
        [table],
      );
      bytes += rows[0]?.bytes ?? 0;
    }
    return bytes;
  });
}

const withOwners: Terms = {
  measureAfter: async (service) => ({ "tables, MB": (await takeRows(service, true)) / 1e6 }),
};
const withoutOwners: Terms = {
  prepare: takeOwnersFromKeys,
  measureAfter: async (service) => ({ "tables, MB": (await takeRows(service, false)) / 1e6 }),
};

const noOthers = ({ value, extra = {} }: Sample): Sample => ({ value, extra });

const [whose, nobodys] = ["Callsheet", "Callsheet, with keys that begin with the job"];

export const owning = ({ dispatched, contacts }: Sizes): Workload => ({
  name: "owners",
  title: `${dispatched} contacts worked by 8 workers, with the organization in each key and without`,
  unit: "contacts/s",
  better: "higher",
  note: "The tables are what jobs have in Postgres, packed, with their indexes; without the organization they do not have its column either.",
  also: [
    {
      name: "owners-import",
      title: `${contacts} contacts from a CSV file, likewise`,
      unit: "contacts/s",
      better: "higher",
      note: "A file that is a job's first contacts. Then the job is started, and one contact more enters all its phones.",
    },
  ],
  entrants: [
    { name: whose, role: "callsheet", run: () => dispatch(8, dispatched, withOwners) },
    { name: nobodys, role: "limit", run: () => dispatch(8, dispatched, withoutOwners) },
    {
      name: whose,
      role: "callsheet",
      figure: "owners-import",
      run: async () => noOthers(await importAndStart(contacts, withOwners)),
    },
    {
      name: nobodys,
      role: "limit",
      figure: "owners-import",
      run: async () => noOthers(await importAndStart(contacts, withoutOwners)),
    },
  ],
});
