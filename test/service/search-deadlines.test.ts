import { type CallOptions, Code, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { Client } from "pg";
import { afterAll, expect, test } from "vitest";
import { ContactStatus } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());

async function connect(): Promise<Client & AsyncDisposable> {
  const client = new Client({ connectionString: service.databaseUrl });
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
}

const headers = { authorization: `Bearer ${service.apiKey}` };
const overGrpc = createClient(BatchJobService, createGrpcTransport({ baseUrl: service.grpcUrl }));
const overConnect = createClient(
  BatchJobService,
  createConnectTransport({ baseUrl: service.httpUrl, httpVersion: "1.1" }),
);
const { batchJobId } = await overConnect.createBatchJob(
  { name: "Spring campaign", fromPhoneNumberId: "pn_1", contacts: makeContacts(1) },
  { headers },
);

const within = { headers, timeoutMs: 500 };
/** Each search, and what Postgres is doing then. */
const searches: {
  rpc: string;
  call: (client: typeof overGrpc, options: CallOptions) => Promise<unknown>;
  statement: RegExp;
}[] = [
  {
    rpc: "ListBatchJobs",
    call: (client, options) => client.listBatchJobs({ nameContains: "needle" }, options),
    statement: /"looked_at"/,
  },
  {
    rpc: "CountBatchJobs",
    call: (client, options) => client.countBatchJobs({ filter: { nameContains: "needle" } }, options),
    statement: /name ilike/,
  },
  {
    rpc: "ListContacts",
    call: (client, options) =>
      client.listContacts({ batchJobId, statuses: [ContactStatus.PENDING] }, options),
    statement: /^\/\* often \*\/\s+select "batch_jobs"/,
  },
  {
    rpc: "FindContacts",
    call: (client, options) => client.findContacts({ phone: "+14155550100" }, options),
    statement: /row_number\(\) over/,
  },
];

const rows = searches.flatMap((search) => [
  { ...search, protocol: "gRPC", client: overGrpc },
  { ...search, protocol: "Connect", client: overConnect },
]);

/** The searches of this kind that wait for a table. */
async function waiting(witness: Client, { statement }: { statement: RegExp }): Promise<string[]> {
  const { rows: found } = await witness.query<{ query: string }>(
    "select query from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
  );
  return found.map(({ query }) => query).filter((query) => statement.test(query));
}

test.each(rows)("$rpc over $protocol ends in Postgres once its deadline is over", async (row) => {
  await using holder = await connect();
  await using witness = await connect();
  await witness.query("set statement_timeout = 1000");
  await holder.query("begin");
  await holder.query("lock table batch_jobs");
  await expect(row.call(row.client, within)).rejects.toMatchObject({ code: Code.DeadlineExceeded });
  // It comes after the search, and has half the time that a search may take at most.
  await expect(witness.query("select from batch_jobs")).rejects.toThrow("statement timeout");
  expect(await waiting(witness, row)).toEqual([]);
});

test.each(rows)("$rpc over $protocol ends in Postgres once its caller has left", async (row) => {
  await using holder = await connect();
  await using witness = await connect();
  await witness.query("set statement_timeout = 1000");
  await holder.query("begin");
  await holder.query("lock table batch_jobs");
  const leaving = new AbortController();
  const called = row.call(row.client, { headers, signal: leaving.signal });
  await eventually(async () => expect(await waiting(witness, row)).toHaveLength(1));
  leaving.abort();
  await expect(called).rejects.toMatchObject({ code: Code.Canceled });
  // As above: a search that goes on has a second more than this.
  await expect(witness.query("select from batch_jobs")).rejects.toThrow("statement timeout");
  expect(await waiting(witness, row)).toEqual([]);
  await holder.query("rollback");
  // The connection of the search does what comes next.
  await row.call(row.client, { headers });
});
