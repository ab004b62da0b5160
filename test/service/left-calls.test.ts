import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { pino } from "pino";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { WatchBatchJobsRequestSchema } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { LeaseContactsRequestSchema } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { answered, callerFor } from "./callers.ts";

type Line = { level: number; msg: string; code?: string; method?: string };
let lines: Line[] = [];
const logger = pino({ level: "debug" }, { write: (line) => void lines.push(JSON.parse(line)) });
const service = await startTestService({ logger });
afterAll(() => service[Symbol.asyncDispose]());
beforeEach(() => {
  lines = [];
});

const authorization = `Bearer ${service.apiKey}`;
const { batchJobId } = await answered<{ batchJobId: string }>(
  callerFor("plain fetch", service)("createBatchJob", {
    name: "Spring campaign",
    fromPhoneNumberId: "pn_1",
    contacts: makeContacts(1),
  }),
);

const watch = create(WatchBatchJobsRequestSchema, { batchJobIds: [batchJobId] });
const wait = create(LeaseContactsRequestSchema, { workerId: "w", maxContacts: 1, wait: { seconds: 50n } });
const json = new TextEncoder();

const watchPath = "/callsheet.v1.BatchJobService/WatchBatchJobs";
const leasePath = "/callsheet.v1.ContactWorkerService/LeaseContacts";
const ways: [string, string, string, Uint8Array<ArrayBuffer>][] = [
  [
    "a watch over Connect",
    watchPath,
    "application/connect+json",
    encodeEnvelope(0, json.encode(`{"batchJobIds":["${batchJobId}"]}`)),
  ],
  [
    "a watch over gRPC-Web",
    watchPath,
    "application/grpc-web+proto",
    encodeEnvelope(0, toBinary(WatchBatchJobsRequestSchema, watch)),
  ],
  [
    "a long poll over Connect",
    leasePath,
    "application/json",
    json.encode(`{"workerId":"w","maxContacts":1,"wait":"50s"}`),
  ],
  [
    "a long poll over gRPC-Web",
    leasePath,
    "application/grpc-web+proto",
    encodeEnvelope(0, toBinary(LeaseContactsRequestSchema, wait)),
  ],
];

/** The code that a call of this method was counted with, once it has ended. */
const codeOf = (path: string) =>
  eventually(() => {
    const line = lines.find(({ method, code }) => code !== undefined && `/${method}` === path);
    if (line?.code === undefined) throw new Error("the call has not ended");
    return line.code;
  });

const complaints = () => lines.filter(({ level }) => level > 30);

/** Waits until a request has come and is being answered. */
const inHand = () =>
  eventually(async () => {
    const metrics = await (await fetch(`${service.httpUrl}/metrics`)).text();
    expect(metrics).toMatch(/^callsheet_request_bytes_in_hand [1-9]/m);
  });

describe("a client that leaves is no error of the service", () => {
  test.each(ways)("%s", async (_, path, type, body) => {
    const client = new AbortController();
    const response = fetch(`${service.httpUrl}${path}`, {
      method: "POST",
      headers: { authorization, "content-type": type },
      body,
      signal: client.signal,
    });
    response.catch(() => {});
    await inHand();
    client.abort();
    expect(await codeOf(path)).toBe("canceled");
    expect(complaints()).toEqual([]);
  });

  test.each([
    ["a watch", watchPath, toBinary(WatchBatchJobsRequestSchema, watch)],
    ["a long poll", leasePath, toBinary(LeaseContactsRequestSchema, wait)],
  ])("%s over gRPC", async (_, path, message) => {
    const session = connectHttp2(service.grpcUrl);
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      authorization,
    });
    stream.on("error", () => {});
    stream.end(encodeEnvelope(0, message));
    await inHand();
    session.destroy();
    expect(await codeOf(path)).toBe("canceled");
    expect(complaints()).toEqual([]);
  });

  test("an upload that is broken off", async () => {
    const socket = connect(Number(new URL(service.httpUrl).port), "127.0.0.1");
    const head = [
      `POST /batch-jobs/${batchJobId}/contacts.csv HTTP/1.1`,
      "host: localhost",
      `authorization: ${authorization}`,
      "content-length: 1000000",
      "expect: 100-continue",
    ];
    socket.write(`${head.join("\r\n")}\r\n\r\n`);
    expect(String((await once(socket, "data"))[0])).toContain("100 Continue");
    socket.write("phone\n+14155550100\n");
    socket.destroy();
    expect(await codeOf("/callsheet.v1.BatchJobService/ImportContacts")).toBe("canceled");
    expect(complaints()).toEqual([]);
  });
});

describe("a request that cannot be decoded is counted and logged once, with its call id", () => {
  const get = "/callsheet.v1.BatchJobService/ListBatchJobs";

  test.each([
    ["a GET", get, `?connect=v1&encoding=json&base64=1&message=!!!`, undefined],
    ["JSON", get, "", `{"pageSize":"many"}`],
    ["JSON of a command", "/callsheet.v1.BatchJobService/StartBatchJob", "", "{"],
  ])("%s", async (_, path, query, body) => {
    const response = await fetch(`${service.httpUrl}${path}${query}`, {
      headers: { authorization, ...(body !== undefined && { "content-type": "application/json" }) },
      ...(body !== undefined && { method: "POST", body }),
    });
    expect(response.status).toBe(400);
    const callId = response.headers.get("callsheet-call-id");
    expect(callId).toMatch(/^[0-9a-f-]{36}$/);
    expect(await codeOf(path)).toBe("invalid_argument");
    expect(lines.filter(({ method }) => `/${method}` === path)).toEqual([
      expect.objectContaining({ level: 30, callId, code: "invalid_argument" }),
    ]);
  });

  test("bytes on gRPC", async () => {
    const session = connectHttp2(service.grpcUrl);
    try {
      const stream = session.request({
        ":method": "POST",
        ":path": get,
        "content-type": "application/grpc",
        te: "trailers",
        authorization,
      });
      stream.end(encodeEnvelope(0, new Uint8Array([0x12, 0xff])));
      const [header] = await once(stream, "response");
      expect(header).toMatchObject({ "grpc-status": "3", "callsheet-call-id": expect.any(String) });
    } finally {
      session.destroy();
    }
    expect(await codeOf(get)).toBe("invalid_argument");
    expect(complaints()).toEqual([]);
  });
});
