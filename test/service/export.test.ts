import { type Transport, Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { afterAll, describe, expect, test } from "vitest";
import { ContactStatus } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { createGrpcJsTransport } from "../rpc/grpc-js-transport.ts";
import { makeApiKey } from "../support/api-key.ts";
import { eventually } from "../support/eventually.ts";
import { joined, rowsOf } from "../support/exports.ts";
import { breakSnapshots, makeLong, openSnapshots } from "../support/long-job.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());
const { db } = service;
const client = service.clientWith(service.apiKey);
const [viewer, worker] = await Promise.all(
  (["viewer", "worker"] as const).map((role) => makeApiKey(db, { role, organization: "default" })),
);

type Options = { apiKey?: string; statuses?: string[]; includeAttempts?: boolean; signal?: AbortSignal };
/** Asks for a file, and gives its bytes as they come; throws what ends it. */
type Ask = (batchJobId: string, options?: Options) => AsyncIterable<Uint8Array>;

const over = (transport: Transport): Ask =>
  async function* (batchJobId, options = {}) {
    const { apiKey = service.apiKey, statuses = [], includeAttempts = false, signal } = options;
    const request = {
      batchJobId,
      includeAttempts,
      statuses: statuses.map((word) => ContactStatus[word.toUpperCase() as keyof typeof ContactStatus]),
    };
    const headers = { authorization: `Bearer ${apiKey}` };
    const stream = createClient(BatchJobService, transport).exportContacts(request, {
      headers,
      ...(signal === undefined ? {} : { signal }),
    });
    for await (const { csv } of stream) yield csv;
  };

const urlOf = (batchJobId: string, query: Record<string, string> = {}) =>
  `${service.httpUrl}/batch-jobs/${batchJobId}/contacts.csv?${new URLSearchParams(query)}`;

const get = (url: string, { apiKey = service.apiKey, signal }: Options = {}) =>
  fetch(url, { headers: { authorization: `Bearer ${apiKey}` }, ...(signal === undefined ? {} : { signal }) });

type WireError = { code: string; message: string };

async function* overHttp(batchJobId: string, options: Options = {}): AsyncIterable<Uint8Array> {
  const { statuses = [], includeAttempts = false } = options;
  const query = { statuses: statuses.join(","), include_attempts: String(includeAttempts) };
  const response = await get(urlOf(batchJobId, query), options);
  if (response.ok) yield* response.body ?? [];
  else {
    const { code, message } = (await response.json()) as WireError;
    const name = code.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
    throw new ConnectError(message, Code[name as keyof typeof Code]);
  }
}

const asking: Record<string, Ask> = {
  "grpc-js": over(createGrpcJsTransport(Number(new URL(service.grpcUrl).port))),
  "connect-node gRPC": over(createGrpcTransport({ baseUrl: service.grpcUrl })),
  Connect: over(createConnectTransport({ baseUrl: service.httpUrl, httpVersion: "1.1" })),
  "Connect's JSON": over(
    createConnectTransport({ baseUrl: service.httpUrl, httpVersion: "1.1", useBinaryFormat: false }),
  ),
  "gRPC-Web": over(createGrpcWebTransport({ baseUrl: service.httpUrl, httpVersion: "1.1" })),
  HTTP: overHttp,
};

async function aJob(contacts: number): Promise<string> {
  const given = { name: "A job", fromPhoneNumberId: "pn_1", contacts: makeContacts(contacts) };
  return (await client.createBatchJob(given)).batchJobId;
}

/** One whose file no connection takes at once. */
async function aLongJob(): Promise<string> {
  const { batchJobId } = await client.createBatchJob({ name: "A long one", fromPhoneNumberId: "pn_1" });
  await makeLong(db, batchJobId, 150_000);
  return batchJobId;
}

const codeOf = async (file: AsyncIterable<Uint8Array>): Promise<Code> => {
  try {
    await joined(file);
  } catch (error) {
    return ConnectError.from(error).code;
  }
  throw new Error("the file came to its end");
};

describe.each(Object.keys(asking))("over %s", (name) => {
  const ask: Ask = (...given) => {
    const found = asking[name];
    if (found === undefined) throw new Error(`nobody asks over ${name}`);
    return found(...given);
  };

  test("a viewer reads a job's contacts, of the statuses and with the attempts asked for", async () => {
    const id = await aJob(3);
    const rows = rowsOf(await joined(ask(id, { apiKey: viewer?.key ?? "" })));
    expect(rows).toMatchObject(
      [0, 1, 2].map((i) => ({ phone: `'+1415500000${i}`, name: `Contact ${i + 1}`, status: "pending" })),
    );
    expect(rowsOf(await joined(ask(id, { statuses: ["completed", "no_answer"] })))).toEqual([]);
    expect(rowsOf(await joined(ask(id, { statuses: ["pending"], includeAttempts: true })))).toHaveLength(3);
  });

  test("what may not be read is refused before anything comes", async () => {
    const id = await aJob(1);
    expect(await codeOf(ask(id, { apiKey: worker?.key ?? "" }))).toBe(Code.PermissionDenied);
    expect(await codeOf(ask(id, { apiKey: "cs_wrong" }))).toBe(Code.Unauthenticated);
    expect(await codeOf(ask("junk"))).toBe(Code.NotFound);
    expect(await codeOf(ask(crypto.randomUUID()))).toBe(Code.NotFound);
    expect(await codeOf(ask(id, { statuses: ["pending", "pending"] }))).toBe(Code.InvalidArgument);
  });

  test("a file that breaks off ends as an error, and not as if it were whole", async () => {
    const id = await aLongJob();
    let bytes = 0;
    const read = async () => {
      for await (const piece of ask(id)) {
        if (bytes === 0) await breakSnapshots(db);
        bytes += piece.length;
      }
    };
    await expect(read()).rejects.toThrow(/terminated|database does not answer/);
    expect(bytes).toBeGreaterThan(0);
  });

  test("a client that leaves in the middle frees the snapshot", async () => {
    const id = await aLongJob();
    const leaving = new AbortController();
    const read = async () => {
      for await (const _ of ask(id, { signal: leaving.signal })) leaving.abort();
    };
    await expect(read()).rejects.toThrow(/abort|cancel/i);
    await eventually(async () => expect(await openSnapshots(db)).toBe(0));
  });
});

describe("GET contacts.csv", () => {
  test("is a file to keep, in no cache, that proxies pass on as it is", async () => {
    const id = await aJob(1);
    const response = await get(urlOf(id));
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "text/csv; charset=utf-8; header=present",
      "content-disposition": `attachment; filename="contacts-${id}.csv"`,
      "cache-control": "no-store, no-transform",
      "x-accel-buffering": "no",
      "callsheet-call-id": expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    await response.body?.cancel();
  });

  test.each([
    [{ status: "pending" }, "The query may hold statuses and include_attempts, and nothing else."],
    [{ include_attempts: "1" }, "include_attempts must be true or false."],
    [{ statuses: "pending,PENDING" }, "statuses must be words out of pending, dialing, waiting_retry, "],
  ])("refuses the query %j, and says what would do", async (query, sentence) => {
    const response = await get(urlOf(await aJob(1), query));
    expect(response.status).toBe(400);
    expect(((await response.json()) as WireError).message).toContain(sentence);
  });

  test("stands beside POST, and no other method", async () => {
    const response = await fetch(urlOf(await aJob(1)), { method: "DELETE" });
    expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, POST"]);
  });

  test("is asked for with POST where it is an RPC, as every stream is", async () => {
    const response = await fetch(`${service.httpUrl}/callsheet.v1.BatchJobService/ExportContacts?message={}`);
    expect([response.status, response.headers.get("allow"), await response.text()]).toEqual([
      405,
      "POST",
      "ExportContacts is called with POST.\n",
    ]);
  });
});
