import { once } from "node:events";
import { connect } from "node:net";
import { toJson } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { pino } from "pino";
import { afterAll, describe, expect, test } from "vitest";
import {
  BatchJobService,
  ImportContactsResponseSchema,
} from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { createGrpcJsTransport } from "../rpc/grpc-js-transport.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { describeRefusal } from "../support/refusal.ts";
import { startTestService } from "../support/service.ts";

const logged: string[] = [];
const service = await startTestService({
  logger: pino({ level: "info" }, { write: (line: string) => void logged.push(line) }),
});
afterAll(() => service[Symbol.asyncDispose]());
const client = service.clientWith(service.apiKey);

type Part = { case: "csv"; value: Uint8Array } | { case: "end"; value: { totalBytes: bigint } };
type Options = { requestId?: string; expectedRevision?: bigint; apiKey?: string };
/** Sends a file and answers with JSON, or the refusal. */
type Send = (batchJobId: string, file: AsyncIterable<Uint8Array>, options?: Options) => Promise<unknown>;

const transports: Record<string, Transport> = {
  "grpc-js": createGrpcJsTransport(Number(new URL(service.grpcUrl).port)),
  "connect-node gRPC": createGrpcTransport({ baseUrl: service.grpcUrl }),
  Connect: createConnectTransport({ baseUrl: service.httpUrl, httpVersion: "1.1" }),
  "gRPC-Web": createGrpcWebTransport({ baseUrl: service.httpUrl, httpVersion: "1.1" }),
};

async function* partsOf(file: AsyncIterable<Uint8Array>): AsyncGenerator<Part> {
  let total = 0;
  for await (const value of file) {
    total += value.length;
    yield { case: "csv", value };
  }
  yield { case: "end", value: { totalBytes: BigInt(total) } };
}

/** Calls the RPC with these parts after the header. */
async function stream(
  transport: Transport,
  header: Options & { batchJobId: string },
  parts: AsyncIterable<Part>,
  signal?: AbortSignal,
) {
  const { apiKey = service.apiKey, ...value } = header;
  async function* messages() {
    yield { part: { case: "header" as const, value } };
    for await (const part of parts) yield { part };
  }
  const answer = await createClient(BatchJobService, transport).importContacts(messages(), {
    headers: { authorization: `Bearer ${apiKey}` },
    ...(signal === undefined ? {} : { signal }),
  });
  return toJson(ImportContactsResponseSchema, answer, { alwaysEmitImplicit: true });
}

const urlOf = (batchJobId: string, query = "") =>
  `${service.httpUrl}/batch-jobs/${batchJobId}/contacts.csv${query}`;

const overHttp =
  (isChunked: boolean): Send =>
  async (batchJobId, file, { requestId, expectedRevision, apiKey = service.apiKey } = {}) => {
    const query = new URLSearchParams({
      ...(requestId === undefined ? {} : { request_id: requestId }),
      ...(expectedRevision === undefined ? {} : { expected_revision: String(expectedRevision) }),
    });
    const response = await fetch(urlOf(batchJobId, `?${query}`), {
      method: "POST",
      headers: { authorization: `Bearer ${apiKey}` },
      body: isChunked ? ReadableStream.from(file) : await gather(file),
      duplex: "half",
    } as RequestInit);
    const answer: unknown = await response.json();
    return response.ok ? answer : readWireError(answer as WireError);
  };

type WireError = {
  code: string;
  message: string;
  details: { debug: { metadata: Record<string, string> } }[];
};

/** A Connect error as curl shows it. */
function readWireError({ code, message, details }: WireError): unknown {
  const [detail] = details;
  const { code: reason = "", ...metadata } = detail?.debug.metadata ?? {};
  return { code, reason, message, metadata };
}

const senders: Record<string, Send> = {
  ...Object.fromEntries(
    Object.entries(transports).map(([name, transport]): [string, Send] => [
      name,
      (batchJobId, file, options) =>
        stream(transport, { batchJobId, ...options }, partsOf(file)).catch(describeRefusal),
    ]),
  ),
  "HTTP with a length": overHttp(false),
  "HTTP in chunks": overHttp(true),
};

async function* inChunks(file: string, size = 10) {
  const bytes = Buffer.from(file);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const csvOf = (count: number, first = 0) =>
  `phone,name\n${makeContacts(count, first)
    .map((c) => `${c.phone},${c.name}`)
    .join("\n")}\n`;

async function aJob(): Promise<string> {
  const { batchJobId } = await client.createBatchJob({ name: "A job", fromPhoneNumberId: "pn_1" });
  return batchJobId;
}

const totalOf = async (batchJobId: string) =>
  (await client.getBatchJob({ batchJobId })).batchJob?.counts?.total;

describe.each(Object.keys(senders))("%s", (name) => {
  const send: Send = (...given) => {
    const sender = senders[name];
    if (sender === undefined) throw new Error(`nobody sends by ${name}`);
    return sender(...given);
  };

  test("sends a file and is told what became of it", async () => {
    const batchJobId = await aJob();
    expect(await send(batchJobId, inChunks(`${csvOf(3)}junk,x\n${csvOf(1).split("\n")[1]}`))).toEqual({
      acceptedCount: 3,
      totalContacts: 3,
      rejectedContactsCount: 2,
      importId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      keptRejectedContactsCount: 2,
      rejectedContacts: [
        {
          line: 5,
          phone: "junk",
          reason: "REJECTION_REASON_INVALID_PHONE_FORMAT",
          field: "phone",
          rule: expect.stringMatching(/^must /),
        },
        {
          line: 6,
          phone: "+14155000000",
          reason: "REJECTION_REASON_DUPLICATE_PHONE",
          field: "phone",
          rule: expect.stringMatching(/^must /),
        },
      ],
    });
    expect(await totalOf(batchJobId)).toBe(3);
  });

  test("may repeat it with its id, and not send another one", async () => {
    const batchJobId = await aJob();
    const requestId = crypto.randomUUID();
    const first = await send(batchJobId, inChunks(csvOf(3)), { requestId, expectedRevision: 1n });
    expect(await send(batchJobId, inChunks(csvOf(3)), { requestId, expectedRevision: 1n })).toEqual(first);
    expect(await send(batchJobId, inChunks(csvOf(4)), { requestId, expectedRevision: 1n })).toMatchObject({
      reason: "request_id_reused",
    });
    const lines = logged.map((line) => JSON.parse(line)).filter((line) => line.requestId === requestId);
    expect(lines.map(({ code }) => code)).toEqual(["ok", "ok", "invalid_argument"]);
    expect(lines[0]).toMatchObject({ batchJobId, method: "callsheet.v1.BatchJobService/ImportContacts" });
    expect(logged.join("")).not.toMatch(/\+1415|Contact 1/);
  });

  test("is refused as any command is", async () => {
    const batchJobId = await aJob();
    const file = () => inChunks(csvOf(1));
    const refusals = [
      await send(batchJobId, file(), { apiKey: "cs_wrong" }),
      await send("junk", file()),
      await send(batchJobId, file(), { expectedRevision: 9n }),
      await send(batchJobId, file(), { expectedRevision: 0n }),
      await send(batchJobId, file(), { requestId: "x".repeat(65) }),
      await send(batchJobId, inChunks("name\nAda\n")),
    ];
    expect(refusals).toMatchObject([
      { reason: "invalid_api_key" },
      { reason: "job_not_found" },
      { reason: "revision_mismatch" },
      { reason: "invalid_argument", metadata: { field: "header.expected_revision" } },
      { reason: "invalid_argument", metadata: { field: "header.request_id" } },
      { reason: "invalid_argument", metadata: { field: "csv" } },
    ]);
    expect(await totalOf(batchJobId)).toBe(0);
  });
});

async function* csv(text: string): AsyncGenerator<Part> {
  yield { case: "csv", value: Buffer.from(text) };
}

const end = (totalBytes: number): Part => ({ case: "end", value: { totalBytes: BigInt(totalBytes) } });

async function gather(file: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of file) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe.each(Object.keys(transports))("a stream by %s that is not whole adds nothing:", (name) => {
  const transport = transports[name];
  if (transport === undefined) throw new Error(`nobody sends by ${name}`);

  const cases: [string, (file: string) => AsyncGenerator<Part>, string][] = [
    ["without an end", (file) => csv(file), "end"],
    [
      "with fewer bytes than its end says",
      async function* (file) {
        yield* csv(file);
        yield end(file.length + 1);
      },
      "end.total_bytes",
    ],
    [
      "with more bytes than its end says",
      async function* (file) {
        yield* csv(file);
        yield end(file.length - 1);
      },
      "end.total_bytes",
    ],
    [
      "with more after its end",
      async function* (file) {
        yield* csv(file);
        yield end(file.length);
        yield* csv("+14155559999,x\n");
      },
      "end",
    ],
  ];
  test.each(cases)("%s", async (_, parts, field) => {
    const batchJobId = await aJob();
    const refused = await stream(transport, { batchJobId }, parts(csvOf(3))).catch(describeRefusal);
    expect(refused).toMatchObject({ reason: "invalid_argument", metadata: { field } });
    expect(await totalOf(batchJobId)).toBe(0);
  });

  test("whose client goes away in the middle", async () => {
    const batchJobId = await aJob();
    const gone = new AbortController();
    async function* parts(): AsyncGenerator<Part> {
      yield* csv(csvOf(2_000));
      gone.abort();
      await new Promise(() => {});
    }
    const refused = await stream(transport, { batchJobId }, parts(), gone.signal).catch(ConnectError.from);
    expect(refused).toMatchObject({ code: Code.Canceled });
    // Had it been taken as whole, this one would be told of duplicates.
    const answer = await stream(transport, { batchJobId }, partsOf(inChunks(csvOf(2_000), 10_000)));
    expect(answer).toMatchObject({ acceptedCount: 2_000, totalContacts: 2_000 });
  });
});

/** Writes to the HTTP port as it is; answers what came back by the time that `until` matched or the server closed. */
async function sendRaw(text: string, until: RegExp): Promise<string> {
  const socket = connect(Number(new URL(service.httpUrl).port), "127.0.0.1").on("error", () => {});
  socket.write(text);
  let answer = "";
  for await (const chunk of socket) {
    answer += String(chunk);
    if (until.test(answer)) break;
  }
  socket.destroy();
  return answer;
}

const head = (batchJobId: string, ...headers: string[]) =>
  [
    `POST /batch-jobs/${batchJobId}/contacts.csv HTTP/1.1`,
    "host: callsheet",
    `authorization: Bearer ${service.apiKey}`,
    ...headers,
    "\r\n",
  ].join("\r\n");

describe("over HTTP", () => {
  test.each([
    ["with a length", (file: string) => [`content-length: ${file.length + 100}`, file] as const],
    [
      "in chunks",
      (file: string) => ["transfer-encoding: chunked", `${file.length.toString(16)}\r\n${file}\r\n`] as const,
    ],
  ])("a file %s that breaks off adds nothing", async (_, body) => {
    const batchJobId = await aJob();
    const [header, sent] = body(csvOf(3));
    const socket = connect(Number(new URL(service.httpUrl).port), "127.0.0.1");
    socket.end(head(batchJobId, header) + sent);
    await once(socket.resume(), "close");
    const whole = await overHttp(false)(batchJobId, inChunks(csvOf(3)));
    expect(whole).toMatchObject({ acceptedCount: 3, totalContacts: 3 });
  });

  test("a client that asks first is told to send only a file that is welcome", async () => {
    const batchJobId = await aJob();
    const asked = ["expect: 100-continue", "content-length: 1000000000"];
    expect(await sendRaw(head(batchJobId, ...asked), /\r\n\r\n/)).toMatch(/^HTTP\/1.1 100/);
    const nobodys = "00000000-0000-4000-8000-000000000000";
    expect(await sendRaw(head(nobodys, ...asked), /\}$/)).toMatch(/^HTTP\/1.1 404/);
  });

  test("who is refused in the middle of a large file is told why, and then cut off", async () => {
    const batchJobId = await aJob();
    const text = `${head(batchJobId, "content-length: 1000000000")}name\n${"x\n".repeat(100_000)}`;
    const answer = await sendRaw(text, /^never$/);
    expect(answer).toMatch(/^HTTP\/1.1 400 .*"field":"csv"/s);
  });

  test("answers carry the id of the call", async () => {
    const response = await fetch(urlOf(await aJob()), {
      method: "POST",
      headers: { authorization: `Bearer ${service.apiKey}` },
      body: "phone\n",
    });
    expect(response.headers.get("callsheet-call-id")).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("a query that nobody knows is refused", async () => {
    const response = await fetch(urlOf(await aJob(), "?requestId=1"), {
      method: "POST",
      headers: { authorization: `Bearer ${service.apiKey}` },
      body: csvOf(1),
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: "invalid_argument" });
  });

  test("only POST and GET will do", async () => {
    const response = await fetch(urlOf(await aJob()), { method: "PUT", body: csvOf(1) });
    expect({ status: response.status, allow: response.headers.get("allow") }).toEqual({
      status: 405,
      allow: "GET, POST",
    });
  });
});

test("a file that arrives slowly does not end with the call before it", async () => {
  const batchJobId = await aJob();
  const sent = overHttp(true)(
    batchJobId,
    (async function* () {
      yield Buffer.from("phone\n");
      await eventually(async () => expect(await totalOf(batchJobId)).toBe(0), 1_000);
      yield Buffer.from("+14155550100\n");
    })(),
  );
  expect(await sent).toMatchObject({ acceptedCount: 1 });
});
