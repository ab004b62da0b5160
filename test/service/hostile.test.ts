import { readFile } from "node:fs/promises";
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { gzipSync } from "node:zlib";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { afterAll, describe, expect, test } from "vitest";
import { generateApiKey } from "../../src/domain/api-key.ts";
import { cloneDatabase } from "../support/database.ts";
import { mainSettings, startMain } from "../support/main.ts";

// A replica with little memory, as one request could once end it.
const stack = new AsyncDisposableStack();
const database = stack.use(await cloneDatabase());
const apiKey = generateApiKey();
const program = stack.use(
  await startMain({
    ...mainSettings(database.url, apiKey),
    NODE_OPTIONS: "--max-old-space-size=256",
    LOG_LEVEL: "warn",
  }),
);
afterAll(() => stack.disposeAsync());
const httpPort = Number(new URL(program.httpUrl).port);

const mebibyte = 1024 * 1024;
const authorization = `Bearer ${apiKey}`;
const checkPath = "/grpc.health.v1.Health/Check";
const createPath = "/callsheet.v1.BatchJobService/CreateBatchJob";
const listPath = "/callsheet.v1.BatchJobService/ListBatchJobs";

const residentMegabytes = async () => {
  const status = await readFile(`/proc/${program.child.pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024;
};

const post = (path: string, type: string, body: Uint8Array<ArrayBuffer> | string, headers = {}) =>
  fetch(`${program.httpUrl}${path}`, {
    method: "POST",
    headers: { "content-type": type, authorization, ...headers },
    body,
  });

function openGrpc(session: ClientHttp2Session, path: string, headers = {}) {
  const stream = session.request(
    { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers", ...headers },
    { endStream: false },
  );
  return stream.on("error", () => {}).resume();
}

async function grpcStatus(path: string, body: Uint8Array, headers = {}): Promise<unknown> {
  const session = connectHttp2(program.grpcUrl).on("error", () => {});
  try {
    const stream = openGrpc(session, path, headers).end(body);
    const [header] = await once(stream, "response");
    return header["grpc-status"];
  } finally {
    session.destroy();
  }
}

/** Whether an ordinary call is answered, by the process that there was, which has not grown. */
async function howItIs() {
  const { status } = await post(listPath, "application/json", "{}");
  return { status, exitCode: program.child.exitCode, isSmall: (await residentMegabytes()) < 450 };
}
const well = { status: 200, exitCode: null, isSmall: true };

/** A message of unknown fields, two bytes each. */
const unknownFields = (bytes: number) => Buffer.alloc(bytes, Buffer.from([0x78, 0]));
const zip = (bytes: Uint8Array | string) => new Uint8Array(gzipSync(bytes));

describe("one small request ends no replica", () => {
  test("without a key: 16 kB that are 16 MiB of unknown fields, to the health check", async () => {
    const bomb = zip(unknownFields(16 * mebibyte - 2));
    expect(bomb.length).toBeLessThan(20_000);
    const gzip = { "grpc-encoding": "gzip" };
    for (let count = 0; count < 3; count += 1)
      expect(await grpcStatus(checkPath, encodeEnvelope(1, bomb), gzip)).toBe("8");
    const onHttp = await post(checkPath, "application/proto", bomb, { "content-encoding": "gzip" });
    expect(onHttp.status).toBe(429);
    expect(await howItIs()).toEqual(well);
  });

  test("with a viewer's key: 1 MiB of statuses that there are not", async () => {
    const statuses = Buffer.concat([Buffer.from([0x1a, 0x80, 0x80, 0x40]), Buffer.alloc(mebibyte, 99)]);
    const headers = { authorization, "grpc-encoding": "gzip" };
    expect(await grpcStatus(listPath, encodeEnvelope(1, zip(statuses)), headers)).toBe("8");
    const some = Buffer.concat([Buffer.from([0x1a, 0xe0, 0xd4, 0x03]), Buffer.alloc(60_000, 99)]);
    expect(await grpcStatus(listPath, encodeEnvelope(1, zip(some)), headers)).toBe("3");
    const asJson = await post(listPath, "application/json", zip(`{"statuses":[${"99,".repeat(20_000)}99]}`), {
      "content-encoding": "gzip",
    });
    expect(await asJson.json()).toMatchObject({ code: "invalid_argument" });
    expect(await howItIs()).toEqual(well);
  });

  test("with an operator's key: 5 kB that are two million contacts", async () => {
    const binary = zip(Buffer.alloc(4 * mebibyte - 2, Buffer.from([0x2a, 0])));
    expect(binary.length).toBeLessThan(20_000);
    const headers = { authorization, "grpc-encoding": "gzip" };
    expect(await grpcStatus(createPath, encodeEnvelope(1, binary), headers)).toBe("3");
    const json = zip(`{"contacts":[${"{},".repeat(mebibyte)}{}]}`);
    const onHttp = await post(createPath, "application/json", json, { "content-encoding": "gzip" });
    expect(await onHttp.json()).toMatchObject({ code: "invalid_argument" });
    expect(await howItIs()).toEqual(well);
  });
});

describe("bodies that do not end hold no memory", () => {
  const size = 16 * mebibyte - 1;

  /** Sends as much as the other side reads. */
  function openHttp(path: string, headers: string[]): Socket {
    const socket = connect(httpPort, "127.0.0.1").on("error", () => {});
    const head = [`POST ${path} HTTP/1.1`, "host: x", "content-type: application/proto", ...headers];
    socket.write(`${head.join("\r\n")}\r\ncontent-length: ${size + 1}\r\n\r\n`);
    socket.write(Buffer.alloc(size));
    return socket;
  }

  test.each([
    ["without a key, to the health check", checkPath, []],
    ["without a key, to a command", createPath, []],
    ["with a key", createPath, [`authorization: ${authorization}`]],
  ])("on HTTP, %s", async (_, path, headers) => {
    const sockets = Array.from({ length: 60 }, () => openHttp(path, headers));
    const answers = sockets.map(
      (socket) => new Promise<string>((resolve) => socket.once("data", (data) => resolve(String(data)))),
    );
    await Promise.race(answers);
    expect(await howItIs()).toEqual(well);
    for (const socket of sockets) socket.destroy();
  });

  test.each([
    ["without a key, to the health check", checkPath, {}],
    ["without a key, to a command", createPath, {}],
    ["with a key", createPath, { authorization }],
  ])("on gRPC, %s", async (_, path, headers) => {
    const sessions = Array.from({ length: 60 }, () =>
      // Node gives a client 10 MB by default.
      connectHttp2(program.grpcUrl, { maxSessionMemory: 100 }).on("error", () => {}),
    );
    const body = encodeEnvelope(0, new Uint8Array(size + 1)).subarray(0, size);
    const streams = sessions.map((session) => openGrpc(session, path, headers));
    const refused = Promise.race(streams.map((stream) => once(stream, "response")));
    for (const stream of streams) stream.write(body);
    await refused;
    expect(await howItIs()).toEqual(well);
    for (const session of sessions) session.destroy();
  });
});

test("a client that writes hundreds of calls at once and goes ends no replica", async () => {
  const call = `POST ${listPath} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`;
  for (let rounds = 0; rounds < 4; rounds += 1) {
    const sockets = Array.from({ length: 16 }, () => connect(httpPort, "127.0.0.1").on("error", () => {}));
    const answers = sockets.map((socket) => Promise.race([once(socket, "data"), once(socket, "close")]));
    for (const socket of sockets) socket.write(call.repeat(100));
    await Promise.all(answers);
    for (const socket of sockets) socket.destroy();
  }
  expect(await howItIs()).toEqual(well);
});
