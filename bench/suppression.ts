// Phones that nobody calls, put on an empty list by calls of 10,000 and as a file, beside the same phones as a file of
// contacts; and what a list of ten million costs where contacts are leased.
import { openAsBlob } from "node:fs";
import { SuppressionService } from "../src/gen/callsheet/v1/suppression_service_pb.ts";
import { batchesOf, perSecond, writeCsv } from "./contacts.ts";
import { batchOf, liftLimit, workJob } from "./dispatch.ts";
import { type FreshService, asOrganization, startFreshService } from "./fresh-service.ts";
import { openGrpcClient } from "./grpc-client.ts";
import { aboutProcessor, beside, inTurn, pairsNote } from "./in-turn.ts";
import { cpuSecondsOf, postgresBytes, withPostgres } from "./measure.ts";
import type { Entrant, Sample, Sizes, Workload } from "./workload.ts";

const inFlight = 4;
const reason = "opted out";

async function measured(
  service: FreshService,
  phones: number,
  work: () => Promise<unknown>,
): Promise<Sample> {
  const before = { bytes: await postgresBytes(service.databaseUrl), cpu: await cpuSecondsOf(service.pid) };
  const began = performance.now();
  await work();
  const value = perSecond(phones, began);
  const extra = {
    "CPU of the service, µs per phone": (((await cpuSecondsOf(service.pid)) - before.cpu) * 1e6) / phones,
    "Postgres, bytes per phone": ((await postgresBytes(service.databaseUrl)) - before.bytes) / phones,
  };
  return { value, extra };
}

async function addByCalls(phones: number): Promise<Sample> {
  await using service = await startFreshService();
  const { addSuppressedPhones } = SuppressionService.method;
  const client = openGrpcClient(service.grpcAddress, service.apiKey);
  const batches = batchesOf(phones, 10_000);
  let added = 0;
  const sample = await measured(service, phones, () =>
    Promise.all(
      Array.from({ length: inFlight }, async () => {
        for (const batch of batches) {
          const request = { phones: batch.map(({ phone }) => ({ phone, reason })) };
          const { addedCount } = await client.call(addSuppressedPhones, request);
          added += addedCount;
        }
      }),
    ),
  );
  client.close();
  if (added !== phones) throw new Error(`${added} of ${phones} phones were added`);
  return sample;
}

async function send(service: FreshService, path: string, file: string): Promise<unknown> {
  const response = await fetch(`${service.httpUrl}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${service.apiKey}` },
    body: await openAsBlob(file),
  });
  if (!response.ok) throw new Error(`the file was not taken: ${await response.text()}`);
  return await response.json();
}

async function addAsFile(phones: number): Promise<Sample> {
  await using csv = await writeCsv(phones);
  await using service = await startFreshService();
  const path = `/suppressed-phones.csv?reason=${encodeURIComponent(reason)}`;
  return await measured(service, phones, () => send(service, path, csv.file));
}

async function importContacts(contacts: number): Promise<Sample> {
  await using csv = await writeCsv(contacts);
  await using service = await startFreshService();
  const { batchJobId } = await service.client.createBatchJob({ name: "bench", fromPhoneNumberId: "pn_1" });
  return await measured(service, contacts, () =>
    send(service, `/batch-jobs/${batchJobId}/contacts.csv`, csv.file),
  );
}

/** Puts so many phones that nobody here has, between those that somebody has, on the list of the first organization. */
const suppressOthers = ({ databaseUrl }: FreshService, phones: number) =>
  withPostgres(databaseUrl, async (client) => {
    await client.query(
      `insert into suppressed_phones (organization_id, phone, added_at, reason)
       select o.id, 14150000001 + 2 * n, now(), $2
       from (select min(id) as id from organizations) as o, generate_series(1, $1::int) as n`,
      [phones, reason],
    );
    await client.query(
      "update organizations set suppressed_phones = $1 where id = (select min(id) from organizations)",
      [phones],
    );
    await client.query("vacuum analyze suppressed_phones");
    // Else what writes them to disk later is on the account of the leases.
    await client.query("checkpoint");
  });

/** Has the organization with the list and one without it take turns on one service. */
const besideList = (phones: number, contacts: number, buffers: string): Entrant => ({
  name: `Callsheet, 8 × batches of ${batchOf(8)}, shared_buffers = ${buffers}`,
  role: "callsheet",
  figure: "suppression-dispatch",
  async run() {
    await using listed = await startFreshService({ shared_buffers: buffers });
    await suppressOthers(listed, phones);
    const unlisted = await asOrganization(listed, "without a list");
    await liftLimit(listed);
    const samples = await inTurn(listed, unlisted, (service) => workJob(service, 8, contacts));
    return beside(samples.worked, samples.ofProcessor, aboutProcessor);
  },
});

export const suppressing = ({ contacts, dispatched }: Sizes): Workload => ({
  name: "suppression",
  title: `${contacts} phones put on an empty list of those that nobody calls, durable`,
  unit: "phones/s",
  better: "higher",
  note: "The file of contacts is the same file. Its phones are in no index yet.",
  also: [
    {
      name: "suppression-dispatch",
      title: `${dispatched / 20} contacts leased and reported, beside a list of ${10 * contacts} phones, in turn with an organization without one`,
      unit: "contacts/s",
      better: "higher",
      note: `None of them is on the list; each is looked up. ${pairsNote}`,
    },
  ],
  entrants: [
    {
      name: `Callsheet, AddSuppressedPhones of 10,000, ${inFlight} in flight`,
      role: "callsheet",
      run: () => addByCalls(contacts),
    },
    { name: "Callsheet, one POST suppressed-phones.csv", role: "callsheet", run: () => addAsFile(contacts) },
    { name: "Callsheet, one POST contacts.csv", role: "callsheet", run: () => importContacts(contacts) },
    ...["128MB", "2GB"].map((buffers) => besideList(10 * contacts, dispatched / 20, buffers)),
  ],
});
