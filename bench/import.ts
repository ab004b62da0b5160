// A file of contacts until it is validated, without duplicates and durable; then the start of its job until every
// number is on the list; then what the next addition to the job costs, which enters the file's phones into an index.
import { openAsBlob } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { from as copyFrom } from "pg-copy-streams";
import { createBlocks, writeLine } from "../src/postgres/contacts/contact-blocks.ts";
import { type Written, linesOf, nationalRegion, perSecond, twelveZones, writeCsv } from "./contacts.ts";
import { type FreshService, startFreshServers, startFreshService } from "./fresh-service.ts";
import {
  cpuSecondsOf,
  forgetPeak,
  memoryOf,
  postgresBytes,
  redisBytes,
  withPostgres,
  withRedis,
} from "./measure.ts";
import { type Enqueue, addBulk, addJobs, insertJobs } from "./peer-enqueue.ts";
import { type Entrant, type Sample, type Sizes, type Workload, at } from "./workload.ts";

/** Sends the file with one HTTP request; answers how many contacts a second became durable. */
export async function importFile(service: FreshService, contacts: number, written: Written = {}) {
  await using csv = await writeCsv(contacts, written);
  const { batchJobId } = await service.client.createBatchJob({ name: "bench", fromPhoneNumberId: "pn_1" });
  const before = { bytes: await postgresBytes(service.databaseUrl), cpu: await cpuSecondsOf(service.pid) };
  const body = await openAsBlob(csv.file);
  const { now } = await memoryOf(service.pid);
  await forgetPeak(service.pid);
  const began = performance.now();
  const region = written.phones === undefined ? "" : `?default_region=${nationalRegion}`;
  const response = await fetch(`${service.httpUrl}/batch-jobs/${batchJobId}/contacts.csv${region}`, {
    method: "POST",
    headers: { authorization: `Bearer ${service.apiKey}` },
    body,
  });
  const answer = (await response.json()) as { acceptedCount: number };
  const value = perSecond(contacts, began);
  const seconds = (performance.now() - began) / 1000;
  if (answer.acceptedCount !== contacts) throw new Error(`the file was not taken: ${JSON.stringify(answer)}`);
  const memory = await memoryOf(service.pid);
  const extra = {
    "peak RSS, MB": memory.peak,
    "RSS growth, MB": memory.peak - now,
    "CPU of the service, µs per contact": (((await cpuSecondsOf(service.pid)) - before.cpu) * 1e6) / contacts,
    "Postgres, bytes per contact": ((await postgresBytes(service.databaseUrl)) - before.bytes) / contacts,
  };
  return { batchJobId, value, seconds, extra, bytesBefore: before.bytes };
}

/**
 * So many as a twentieth go before, the same for all: what runs often is compiled then, and the connections are made.
 */
const warmUp = (total: number): number => Math.ceil(total / 20);

/** A million contacts as lines of COPY, ready-made, some kilobytes at a time. */
type Rows = { readonly table: string; readonly columns: string; lines(contacts: number): Iterable<string> };

const rowEach = (constraints: string): Rows => ({
  table: `
    job_id uuid not null, number int not null, phone text collate "C" not null, name text not null, fields jsonb not null,
    status text not null default 'pending', attempts int not null default 0, last_outcome text,
    next_attempt_at timestamptz, ${constraints}`,
  columns: "job_id, number, phone, name, fields",
  lines(contacts) {
    const job = crypto.randomUUID();
    return linesOf(contacts, "", (c, i) => {
      return `${job}\t${i + 1}\t${c.phone}\t${c.name}\t{"plan":"${c.plan}","city":"${c.city}"}\n`;
    });
  },
});

/** Contacts as they are stored today: some thirty in a row. */
const blocks: Rows = {
  table: `
    organization_id int not null, job_id uuid not null, first_number int not null check (first_number >= 1),
    contacts text collate "C" not null check (contacts <> ''), primary key (organization_id, job_id, first_number)`,
  columns: "organization_id, job_id, first_number, contacts",
  *lines(contacts) {
    const job = crypto.randomUUID();
    const made = createBlocks((first, _last, block) => {
      return `1\t${job}\t${first}\t${block.replaceAll("\t", String.raw`\t`).replaceAll("\n", String.raw`\n`)}\n`;
    });
    for (const text of linesOf(contacts, "", (c) => {
      return `${writeLine(c.phone, c.name, `{"plan":"${c.plan}","city":"${c.city}"}`)}\n`;
    })) {
      for (const line of text.split("\n")) if (line !== "") made.add(line);
      yield made.take({ all: false });
    }
    yield made.take({ all: true });
  },
};

/** COPY of the same contacts, ready-made, into a table of its own. */
async function rawCopy(contacts: number, { table, columns, lines }: Rows): Promise<Sample> {
  await using servers = await startFreshServers();
  return await withPostgres(servers.databaseUrl, async (client) => {
    await client.query(`create table plain (${table})`);
    const copy = async (count: number) => {
      const ready = [...lines(count)].map((text) => Buffer.from(text));
      const began = performance.now();
      await pipeline(Readable.from(ready), client.query(copyFrom(`copy plain (${columns}) from stdin`)));
      return perSecond(count, began);
    };
    await copy(warmUp(contacts));
    const bytes = await postgresBytes(servers.databaseUrl);
    const value = await copy(contacts);
    const grown = (await postgresBytes(servers.databaseUrl)) - bytes;
    return { value, extra: { "Postgres, bytes per contact": grown / contacts } };
  });
}

const enqueuers = ({ peerContacts }: Sizes): Entrant[] =>
  Object.entries<Enqueue>({
    "pg-boss 12.27.0, insert of 5,000": insertJobs,
    "graphile-worker 0.18.0, addJobs of 5,000": addJobs,
    "BullMQ 6.7.0, addBulk of 1,000": addBulk,
  }).map(([name, enqueue]) => ({
    name,
    role: "peer",
    async run() {
      await using servers = await startFreshServers();
      const sample = await enqueue(servers, peerContacts, warmUp(peerContacts));
      return { ...sample, also: { whole: sample } };
    },
  }));

const peersNote = (sizes: Sizes): string =>
  `The peers take ${sizes.peerContacts} contacts that are parsed already, as one job of their own each, and look for no duplicates.`;

/** Starts the job and waits until all numbers are on its list, while others call the replica. */
async function startAndWait(service: FreshService, batchJobId: string, contacts: number) {
  return await withRedis(service.redisUrl, async (redis) => {
    const bytes = await redisBytes(redis);
    const { now } = await memoryOf(service.pid);
    await forgetPeak(service.pid);
    const latencies: number[] = [];
    const done = new AbortController();
    const calling = (async () => {
      while (!done.signal.aborted) {
        const sent = performance.now();
        await service.client.getBatchJob({ batchJobId });
        latencies.push(performance.now() - sent);
      }
    })();
    const began = performance.now();
    const answered = service.client.startBatchJob({ batchJobId }).then(() => performance.now() - began);
    for (let listed = 0; listed < contacts;) {
      const lists = await redis.keys(`*${batchJobId}:contacts*`);
      const lengths = await Promise.all(lists.map((key) => redis.llen(key)));
      listed = lengths.reduce((sum, length) => sum + length, 0);
      if (listed < contacts) await delay(2);
    }
    const value = perSecond(contacts, began);
    const seconds = (performance.now() - began) / 1000;
    const answeredMs = await answered;
    done.abort();
    await calling;
    const extra = {
      "answered, ms": answeredMs,
      "GetBatchJob meanwhile, p99 ms": at(latencies, 0.99),
      "RSS growth, MB": (await memoryOf(service.pid)).peak - now,
      "Redis, bytes per contact": ((await redisBytes(redis)) - bytes) / contacts,
    };
    return { value, seconds, extra };
  });
}

/** A million numbers on a list, without anything else. */
const rpush = async (contacts: number): Promise<Sample> => {
  await using servers = await startFreshServers();
  return await withRedis(servers.redisUrl, async (redis) => {
    const pushAll = async (key: string, count: number) => {
      const began = performance.now();
      let next = 1;
      const push = async () => {
        while (next <= count) {
          const first = next;
          next += 1_000;
          await redis.rpush(key, ...Array.from({ length: 1_000 }, (_, i) => String(first + i)));
        }
      };
      await Promise.all(Array.from({ length: 8 }, push));
      return perSecond(count, began);
    };
    await pushAll("warm-up", warmUp(contacts));
    return { value: await pushAll("plain", contacts) };
  });
};

/** Seconds until one more contact is in the job, which has the phones of the file entered first. */
export async function addOne({ client }: FreshService, batchJobId: string): Promise<number> {
  const began = performance.now();
  await client.addContacts({ batchJobId, contacts: [{ phone: "+4915123456789" }] });
  return (performance.now() - began) / 1000;
}

async function importAndStart(contacts: number): Promise<Sample> {
  await using service = await startFreshService();
  await importFile(service, warmUp(contacts)).then(({ batchJobId }) =>
    startAndWait(service, batchJobId, warmUp(contacts)),
  );
  const imported = await importFile(service, contacts);
  const started = await startAndWait(service, imported.batchJobId, contacts);
  const enteringSeconds = await addOne(service, imported.batchJobId);
  const bytes = (await postgresBytes(service.databaseUrl)) - imported.bytesBefore;
  return {
    value: imported.value,
    extra: imported.extra,
    also: {
      "import-indexed": {
        value: Math.round(contacts / (imported.seconds + enteringSeconds)),
        extra: {
          "the addition after it, s": enteringSeconds,
          "Postgres, bytes per contact": bytes / contacts,
        },
      },
      "fan-out": { value: started.value, extra: started.extra },
      whole: { value: Math.round(contacts / (imported.seconds + started.seconds)) },
    },
  };
}

async function startInSets(contacts: number): Promise<Sample> {
  await using service = await startFreshService();
  await importFile(service, warmUp(contacts), { zones: twelveZones }).then(({ batchJobId }) =>
    startAndWait(service, batchJobId, warmUp(contacts)),
  );
  const { batchJobId } = await importFile(service, contacts, { zones: twelveZones });
  const { value, extra } = await startAndWait(service, batchJobId, contacts);
  return { value, extra };
}

async function importNational(contacts: number): Promise<Sample> {
  await using service = await startFreshService();
  await importFile(service, warmUp(contacts), { phones: "national" });
  const { value, extra } = await importFile(service, contacts, { phones: "national" });
  return { value, extra };
}

export const importing = (sizes: Sizes): Workload => ({
  name: "import",
  title: `${sizes.contacts} contacts, from a CSV file to validated, without duplicates, durable`,
  unit: "contacts/s",
  better: "higher",
  note:
    "COPY takes the same contacts ready-made, a row each or in blocks as Callsheet stores them: neither CSV nor checks. " +
    `Callsheet has no index of these phones yet; the next figure has. ${peersNote(sizes)}`,
  also: [
    {
      name: "import-indexed",
      title: "The same, with the phones in an index",
      unit: "contacts/s",
      better: "higher",
      note:
        "A file that is a job's first contacts is compared with nothing but itself. Its phones are entered when something " +
        "else is added to the job: here one contact, by AddContacts, after the job was started.",
    },
    {
      name: "import-national",
      title: `${sizes.contacts} contacts, likewise, with phones as people write them in their country`,
      unit: "contacts/s",
      better: "higher",
      note: "The file's default_region says which country that is. Each phone is read and judged by its numbering plan.",
    },
    {
      name: "fan-out",
      title: `StartBatchJob of ${sizes.contacts} contacts, from the call until all are on the list`,
      unit: "contacts/s",
      better: "higher",
      note: "RPUSH puts the same numbers on a list.",
    },
    {
      name: "whole",
      title: `${sizes.contacts} contacts, from the file until all are on the list`,
      unit: "contacts/s",
      better: "higher",
      note: `${peersNote(sizes)} BullMQ keeps them in Redis, whose append-only file is flushed once a second.`,
    },
  ],
  entrants: [
    {
      name: "Callsheet, one POST contacts.csv, one StartBatchJob",
      role: "callsheet",
      run: () => importAndStart(sizes.contacts),
    },
    {
      name: "COPY of rows, primary key",
      role: "limit",
      run: () => rawCopy(sizes.contacts, rowEach("primary key (job_id, number)")),
    },
    { name: "COPY of blocks", role: "limit", run: () => rawCopy(sizes.contacts, blocks) },
    {
      name: "COPY of rows, primary key and unique phones",
      role: "limit",
      figure: "import-indexed",
      run: () => rawCopy(sizes.contacts, rowEach("primary key (job_id, number), unique (job_id, phone)")),
    },
    {
      name: "Callsheet, one POST contacts.csv?default_region=US",
      role: "callsheet",
      figure: "import-national",
      run: () => importNational(sizes.contacts),
    },
    {
      name: "Callsheet, one StartBatchJob, in 12 sets of time zones",
      role: "callsheet",
      figure: "fan-out",
      run: () => startInSets(sizes.contacts),
    },
    {
      name: "RPUSH of 1,000, 8 in flight",
      role: "limit",
      figure: "fan-out",
      run: () => rpush(sizes.contacts),
    },
    ...enqueuers(sizes),
  ],
});
