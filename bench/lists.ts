// What is asked of many contacts and many jobs: where a phone is, the contacts of another job, jobs by their labels.
import { openAsBlob } from "node:fs";
import { ContactStatus } from "../src/gen/callsheet/v1/batch_job_pb.ts";
import { batchesOf, contact, writeCsv } from "./contacts.ts";
import { type FreshService, startFreshService } from "./fresh-service.ts";
import { withPostgres } from "./measure.ts";
import { type Sample, type Sizes, type Workload, at } from "./workload.ts";

const aJob = { name: "bench", fromPhoneNumberId: "pn_1" };

async function importFile(
  { httpUrl, apiKey }: FreshService,
  batchJobId: string,
  file: string,
): Promise<void> {
  const url = `${httpUrl}/batch-jobs/${batchJobId}/contacts.csv`;
  const headers = { authorization: `Bearer ${apiKey}` };
  const response = await fetch(url, { method: "POST", body: await openAsBlob(file), headers });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
}

/** A third of the jobs has its contacts from a file, a third from another job, a third with its creation. */
async function makeJobs(service: FreshService, jobs: number, contacts: number): Promise<void> {
  await using csv = await writeCsv(contacts);
  const [given = []] = [...batchesOf(contacts, contacts)];
  const asGiven = given.map(({ phone, name, ...fields }) => ({ phone, name, fields }));
  let source = "";
  for (let i = 0; i < jobs; i += 1) {
    if (i % 3 === 0) {
      const { batchJobId } = await service.client.createBatchJob(aJob);
      await importFile(service, batchJobId, csv.file);
      source = batchJobId;
    } else if (i % 3 === 1) {
      await service.client.createBatchJob({ ...aJob, copyContacts: { batchJobId: source } });
    } else {
      await service.client.createBatchJob({ ...aJob, contacts: asGiven });
    }
  }
}

const untilSorted = (databaseUrl: string): Promise<void> =>
  withPostgres(databaseUrl, async (client) => {
    for (;;) {
      const { rowCount } = await client.query(
        "select from batch_jobs where not has_all_phones and sorted_up_to < total_contacts limit 1",
      );
      if (rowCount === 0) return;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  });

/** How long each of so many calls took. */
async function latenciesOf(calls: number, call: () => Promise<unknown>): Promise<number[]> {
  const taken: number[] = [];
  for (let i = 0; i < calls; i += 1) {
    const sent = performance.now();
    await call();
    taken.push(performance.now() - sent);
  }
  return taken;
}

async function find(jobs: number, contacts: number): Promise<Sample> {
  await using service = await startFreshService();
  await makeJobs(service, jobs, contacts);
  const only = "+4915123456789";
  const lone = { phone: only, name: "", fields: {} };
  await service.client.createBatchJob({ ...aJob, contacts: [lone] });
  await untilSorted(service.databaseUrl);
  const times = async (phone: string, wanted: number) => {
    const look = async () => {
      const { contacts: found } = await service.client.findContacts({ phone });
      if (found.length !== wanted) throw new Error(`${found.length} contacts were found`);
    };
    await latenciesOf(10, look);
    return await latenciesOf(100, look);
  };
  const inAll = await times(contact(contacts >> 1).phone, Math.min(50, jobs));
  const inOne = await times(only, 1);
  const inNone = await times("+4915123456780", 0);
  return {
    value: at(inOne, 0.99),
    extra: {
      "in one of them, p50 ms": at(inOne, 0.5),
      "in all of them, the first 50, p99 ms": at(inAll, 0.99),
      "in none of them, p99 ms": at(inNone, 0.99),
    },
  };
}

/** Has each of these contacts called once, in Postgres alone. */
const writeCalls = (databaseUrl: string, batchJobId: string, which: string): Promise<void> =>
  withPostgres(databaseUrl, async (client) => {
    await client.query(
      `insert into attempts (
        organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome)
      select organization_id, id, number, 1, number, 'worker-1', now(), now(), now(),
        case when number % 3 = 0 then 'busy' else 'completed' end
      from batch_jobs, generate_series(1, total_contacts) as number where id = $1 and ${which}`,
      [batchJobId],
    );
    await client.query("vacuum analyze attempts");
  });

async function copy(contacts: number, statuses: readonly ContactStatus[], called = false): Promise<Sample> {
  await using service = await startFreshService();
  await using csv = await writeCsv(contacts);
  const { batchJobId } = await service.client.createBatchJob(aJob);
  await importFile(service, batchJobId, csv.file);
  if (called) await writeCalls(service.databaseUrl, batchJobId, "true");
  await untilSorted(service.databaseUrl);
  const began = performance.now();
  const copied = await service.client.createBatchJob({
    ...aJob,
    copyContacts: { batchJobId, statuses: [...statuses] },
  });
  return { value: (performance.now() - began) / 1000, extra: { contacts: copied.totalContacts } };
}

async function countByLabel(jobs: number): Promise<Sample> {
  await using service = await startFreshService();
  await service.client.createBatchJob(aJob);
  await withPostgres(service.databaseUrl, async (client) => {
    await client.query(
      `insert into batch_jobs (organization_id, name, description, from_phone_number_id, status, timezone,
        concurrent_call_limit, max_attempts, retry_on, retry_delays_ms, created_at, labels)
      select organization_id, name, '', 'pn_1', 'pending', 'UTC', 5, 3, '{busy}', '{1}',
        now() - n * interval '1 second', json_build_object('all', 'x', 'tenth', (n % 10)::text, 'few', (n / 100)::text)
      from batch_jobs, generate_series(1, $1::int) as n`,
      [jobs],
    );
    await client.query(
      `insert into job_labels (organization_id, key, value, created_at, job_id)
      select organization_id, key, value, created_at, id from batch_jobs, jsonb_each_text(labels)`,
    );
    await client.query("vacuum analyze batch_jobs, job_labels");
  });
  const times = async (labels: Record<string, string>) => {
    const count = () => service.client.countBatchJobs({ filter: { labels } });
    await latenciesOf(10, count);
    return at(await latenciesOf(100, count), 0.99);
  };
  return {
    value: await times({ all: "x" }),
    extra: {
      "a label of a tenth, p99 ms": await times({ tenth: "3" }),
      "a label of 100, p99 ms": await times({ few: "7" }),
    },
  };
}

const jobs = 1_000;
const contactsOfJob = 10_000;
const { COMPLETED: completed, BUSY: busy, PENDING: pending } = ContactStatus;

export const finding = ({ contacts }: Sizes): Workload => {
  // Of a look at the whole everything is a tenth.
  const scale = Math.min(1, contacts / 1_000_000);
  const [someJobs, labelled] = [Math.ceil(jobs * scale), Math.ceil(100_000 * scale)];
  return {
    name: "find",
    title: `a phone found in ${someJobs} jobs of ${contactsOfJob} contacts, a third of them each from files, copies and calls, p99`,
    unit: "ms",
    better: "lower",
    note: "It is in one of the jobs. All of them were sorted before.",
    also: [
      {
        name: "copy",
        title: `a job created with the contacts of another one, of ${contacts}`,
        unit: "s",
        better: "lower",
        note: "Until the call is answered.",
      },
      {
        name: "count-by-label",
        title: `jobs counted by a label, of ${labelled} that all have it, p99`,
        unit: "ms",
        better: "lower",
        note: "Up to 10,000 are counted.",
      },
    ],
    entrants: [
      { name: "Callsheet, FindContacts", role: "callsheet", run: () => find(someJobs, contactsOfJob) },
      { name: "Callsheet, all of them", role: "callsheet", figure: "copy", run: () => copy(contacts, []) },
      {
        name: "Callsheet, the pending ones, none called",
        role: "callsheet",
        figure: "copy",
        run: () => copy(contacts, [pending]),
      },
      {
        name: "Callsheet, a third of them busy, all called",
        role: "callsheet",
        figure: "copy",
        run: () => copy(contacts, [busy], true),
      },
      {
        name: "Callsheet, those that were called, all of them",
        role: "callsheet",
        figure: "copy",
        run: () => copy(contacts, [busy, completed], true),
      },
      {
        name: "Callsheet, CountBatchJobs",
        role: "callsheet",
        figure: "count-by-label",
        run: () => countByLabel(labelled),
      },
    ],
  };
};
