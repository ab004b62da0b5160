// A job's contacts as a file of CSV, read to its end: none of them called, and all of them called once.
import { openAsBlob } from "node:fs";
import { perSecond, writeCsv } from "./contacts.ts";
import { type FreshService, startFreshService } from "./fresh-service.ts";
import { cpuSecondsOf, forgetPeak, memoryOf, withPostgres } from "./measure.ts";
import { type Sample, type Sizes, type Workload, at } from "./workload.ts";

async function importFile(service: FreshService, contacts: number): Promise<string> {
  await using csv = await writeCsv(contacts);
  const { batchJobId } = await service.client.createBatchJob({ name: "bench", fromPhoneNumberId: "pn_1" });
  await request(service, batchJobId, { method: "POST", body: await openAsBlob(csv.file) }).then((r) =>
    r.text(),
  );
  return batchJobId;
}

async function request(service: FreshService, batchJobId: string, init: RequestInit = {}): Promise<Response> {
  const headers = { authorization: `Bearer ${service.apiKey}` };
  const url = `${service.httpUrl}/batch-jobs/${batchJobId}/contacts.csv`;
  const response = await fetch(url, { ...init, headers });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return response;
}

/** As if each contact had been called once, in Postgres alone. */
const writeCalls = (service: FreshService, batchJobId: string): Promise<void> =>
  withPostgres(service.databaseUrl, async (client) => {
    await client.query(
      `insert into attempts (
        organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome, reported_at, call_duration_ms)
      select organization_id, id, number, 1, number, 'worker-1', now(), now(), now(), 'completed', now(), 61500
      from batch_jobs, generate_series(1, total_contacts) as number where id = $1`,
      [batchJobId],
    );
    await client.query(
      "update batch_jobs set completed_contacts = total_contacts, pending_contacts = 0 where id = $1",
      [batchJobId],
    );
    await client.query("vacuum analyze attempts");
  });

/** Reads the file, while others call the replica; answers how many contacts a second came. */
async function exportFile(service: FreshService, batchJobId: string, contacts: number): Promise<Sample> {
  const { now } = await memoryOf(service.pid);
  await forgetPeak(service.pid);
  const cpu = await cpuSecondsOf(service.pid);
  const latencies: number[] = [];
  const done = new AbortController();
  const calling = (async () => {
    while (!done.signal.aborted) {
      const sent = performance.now();
      await service.client.getBatchJob({ batchJobId });
      latencies.push(performance.now() - sent);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  const began = performance.now();
  const { body } = await request(service, batchJobId);
  let firstMs = 0;
  let [bytes, lines] = [0, 0];
  for await (const piece of body ?? []) {
    if (bytes === 0) firstMs = performance.now() - began;
    bytes += piece.length;
    for (const byte of piece) if (byte === 0x0a) lines += 1;
  }
  const value = perSecond(contacts, began);
  const seconds = (performance.now() - began) / 1000;
  done.abort();
  await calling;
  if (lines !== contacts + 1) throw new Error(`the file has ${lines} lines`);
  const { peak } = await memoryOf(service.pid);
  return {
    value,
    extra: {
      seconds,
      "first bytes after, ms": firstMs,
      MB: bytes / 1e6,
      "RSS growth, MB": peak - now,
      "CPU of the service, µs per contact": (((await cpuSecondsOf(service.pid)) - cpu) * 1e6) / contacts,
      "GetBatchJob meanwhile, p99 ms": at(latencies, 0.99),
    },
  };
}

export const exporting = ({ contacts }: Sizes): Workload => ({
  name: "export",
  title: `${contacts} contacts, from a job to a file of CSV read to its end`,
  unit: "contacts/s",
  better: "higher",
  note: "The file comes over HTTP, of one snapshot of the database.",
  entrants: [
    {
      name: "Callsheet, GET contacts.csv, none called",
      role: "callsheet",
      async run() {
        await using service = await startFreshService();
        return await exportFile(service, await importFile(service, contacts), contacts);
      },
    },
    {
      name: "Callsheet, GET contacts.csv, each called once",
      role: "callsheet",
      async run() {
        await using service = await startFreshService();
        const batchJobId = await importFile(service, contacts);
        await writeCalls(service, batchJobId);
        return await exportFile(service, batchJobId, contacts);
      },
    },
  ],
});
