// What it costs that every row of a job says whose it is, and that keys begin with that: the same work beside keys that
// begin with the job. Statements name the organization in both; without it in a key that is one more comparison.
import { randomUUID } from "node:crypto";
import { openDatabase } from "../src/postgres/connections/database.ts";
import { migrations } from "../src/postgres/schema/migrate.ts";
import { batchOf, liftLimit, workJob } from "./dispatch.ts";
import { type FreshService, startFreshServers, startFreshService } from "./fresh-service.ts";
import { addOne, importFile } from "./import.ts";
import { aboutProcessor, beside, inTurn, pairsNote } from "./in-turn.ts";
import { withPostgres } from "./measure.ts";
import type { Entrant, Sample, Sizes, Workload } from "./workload.ts";

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

/** What the tables take, packed, in MB; without owners they have no column for them either. */
async function takeRows(service: FreshService, isWithOwners: boolean): Promise<number> {
  return await withPostgres(service.databaseUrl, async (client) => {
    const bytesOf = async (size: string, name: string) =>
      (await client.query<{ bytes: number }>(`select ${size}($1::regclass)::float8 as bytes`, [name])).rows[0]
        ?.bytes ?? Number.NaN;
    await client.query("vacuum (full) attempts");
    // The log is one for an organization, with or without it in what jobs have.
    let bytes = await bytesOf("pg_relation_size", "attempts_in_log");
    await client.query("drop index attempts_in_log");
    for (const table of tables) {
      if (!isWithOwners) await client.query(`alter table ${table} drop column organization_id cascade`);
      await client.query(`vacuum (full) ${table}`);
      bytes += await bytesOf("pg_total_relation_size", table);
    }
    return bytes / 1e6;
  });
}

/** Two services, the second of which has keys that begin with the job, and what their tables take at the end. */
async function besideUnowned<Figure extends string>(
  take: (service: FreshService) => Promise<Readonly<Record<Figure, number>>>,
) {
  await using owned = await startFreshService();
  await using unowned = await startFreshService();
  await Promise.all([owned, unowned].map(liftLimit));
  await takeOwnersFromKeys(unowned);
  const samples = await inTurn(owned, unowned, take);
  const megabytes = {
    "tables, MB": await takeRows(owned, true),
    "tables of the other, MB": await takeRows(unowned, false),
  };
  return { samples, megabytes };
}

const withSizes = ({ value, extra = {} }: Sample, megabytes: Readonly<Record<string, number>>): Sample => ({
  value,
  extra: { ...extra, ...megabytes },
});

const worked = (workers: number, contacts: number): Entrant => ({
  name: `Callsheet, ${workers} × batches of ${batchOf(workers)}`,
  role: "callsheet",
  async run() {
    const { samples, megabytes } = await besideUnowned((service) => workJob(service, workers, contacts));
    return withSizes(beside(samples.worked, samples.ofProcessor, aboutProcessor), megabytes);
  },
});

const imported = (contacts: number): Entrant => ({
  name: "Callsheet, one POST contacts.csv",
  role: "callsheet",
  figure: "owners-import",
  async run() {
    const { samples, megabytes } = await besideUnowned(async (service) => {
      const { batchJobId, seconds } = await importFile(service, contacts);
      const enteringSeconds = await addOne(service, batchJobId);
      return { file: contacts / seconds, phones: contacts / (seconds + enteringSeconds) };
    });
    return { ...samples.file, also: { "owners-phones": withSizes(samples.phones, megabytes) } };
  },
});

/** The migration in which the organization came into rows and keys. */
const owners = "0012-owners";

const insertions = [
  `insert into batch_jobs (id, organization_id, name, description, from_phone_number_id, status, timezone, concurrent_call_limit,
     max_attempts, retry_on, retry_delays_ms, total_contacts, completed_contacts, started_at, finished_at)
   select $1, id, '', '', '', 'completed', 'UTC', 5, 3, '{busy}', '{300000}', $2::int, $2::int, now(), now() from organizations`,
  `insert into contact_blocks (job_id, first_number, contacts)
   select $1, min(n), string_agg(concat_ws(E'\\t', '+1' || (4150000000 + n), 'Ada Lovelace', '{"plan":"basic","city":"London"}'), E'\\n' order by n)
   from generate_series(1, $2::int) as n group by (n - 1) / 30`,
  `insert into contact_phones (job_id, phone)
   select $1, '+1' || (4150000000 + (n * 7919::bigint) % 10000019) from generate_series(1, $2::int) as n`,
  `insert into attempts (job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome, reported_at)
   select $1, n, 1, n * 1000003::bigint, 'w1', now(), now(), now(), 'completed', now() from generate_series(1, $2::int) as n`,
];

/** What a contact with its phone and a call takes as it was stored before that migration, and as it has been since. */
async function bytesBeforeAndSince(contacts: number): Promise<Sample> {
  await using servers = await startFreshServers();
  const db = openDatabase({ url: servers.databaseUrl, poolSize: 1 });
  const apply = (isPart: (name: string) => boolean) =>
    db.transaction().execute(async (trx) => {
      for (const [name, { up }] of Object.entries(migrations)) if (isPart(name)) await up(trx as never);
    });
  const bytesOfAll = () =>
    withPostgres(servers.databaseUrl, async (client) => {
      let bytes = 0;
      for (const table of ["contact_blocks", "contact_phones", "attempts"]) {
        await client.query(`vacuum (full) ${table}`);
        const { rows } = await client.query<{ bytes: number }>(
          "select (pg_relation_size($1::regclass) + pg_indexes_size($1::regclass))::float8 as bytes",
          [table],
        );
        bytes += rows[0]?.bytes ?? Number.NaN;
      }
      return bytes / contacts;
    });
  try {
    await apply((name) => name < owners);
    await withPostgres(servers.databaseUrl, async (client) => {
      await client.query("insert into organizations (name) values ('before')");
      const jobId = randomUUID();
      for (const insertion of insertions) await client.query(insertion, [jobId, contacts]);
    });
    const before = await bytesOfAll();
    await apply((name) => name >= owners);
    return { value: await bytesOfAll(), extra: { "before, bytes": before } };
  } finally {
    await db.destroy();
  }
}

export const owning = ({ dispatched, contacts }: Sizes): Workload => ({
  name: "owners",
  title: `${dispatched / 20} contacts worked, in turn with the same where keys begin with the job`,
  unit: "contacts/s",
  better: "higher",
  note: `${pairsNote} The tables are what jobs have in Postgres in the end, packed, with their indexes; without the organization they do not have its column either.`,
  also: [
    {
      name: "owners-import",
      title: `${contacts / 20} contacts from a CSV file, likewise`,
      unit: "contacts/s",
      better: "higher",
      note: "A file that is a job's first contacts.",
    },
    {
      name: "owners-phones",
      title: "The same, with one contact more, which enters all their phones",
      unit: "contacts/s",
      better: "higher",
      note: "Contacts that come one by one enter theirs at once.",
    },
    {
      name: "owners-bytes",
      title:
        "A contact, its phone and a call, packed, with their indexes, before the organization came into them and since",
      unit: "bytes",
      better: "lower",
      note: "The same rows, by the migrations up to then and by all. What is told by the event log later is in neither.",
    },
  ],
  entrants: [
    ...[1, 8, 64].map((workers) => worked(workers, dispatched / 20)),
    imported(contacts / 20),
    {
      name: "Callsheet",
      role: "callsheet",
      figure: "owners-bytes",
      run: () => bytesBeforeAndSince(dispatched),
    },
  ],
});
