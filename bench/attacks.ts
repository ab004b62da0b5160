// One hostile client, a process of its own: node bench/attacks.ts NAME HTTP_PORT GRPC_PORT API_KEY JOB_ID ADDRESS. It
// goes on until it is ended, and says then how many answers it had.
import { randomBytes } from "node:crypto";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { create, toBinary, toJsonString } from "@bufbuild/protobuf";
import { AddContactsRequestSchema } from "../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { envelope, flags, frame, grpcHeaders, headerBlock, openRawHttp2, types } from "./raw-http2.ts";

type Target = {
  readonly http: number;
  readonly grpc: number;
  readonly apiKey: string;
  readonly jobId: string;
  readonly localAddress: string;
};

let answers = 0;
let connections = 0;

const checkPath = "/grpc.health.v1.Health/Check";
const watchPath = "/grpc.health.v1.Health/Watch";
const getPath = "/callsheet.v1.BatchJobService/GetBatchJob";
const listPath = "/callsheet.v1.BatchJobService/ListBatchJobs";
const watchJobsPath = "/callsheet.v1.BatchJobService/WatchBatchJobs";
const addPath = "/callsheet.v1.BatchJobService/AddContacts";
const importPath = "/callsheet.v1.BatchJobService/ImportContacts";
const reflectionPath = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

const wrongKey = () => `Bearer cs_${randomBytes(32).toString("base64url")}`;
const rightKey = ({ apiKey }: Target) => `Bearer ${apiKey}`;
const seconds = (count: number) => new Promise((resolve) => setTimeout(resolve, count * 1_000));

type Shape = {
  readonly path: string;
  readonly headers?: () => Record<string, string>;
  readonly message?: Uint8Array;
};

/** One call as frames. */
function call(streamId: number, { path, headers = () => ({}), message = Buffer.alloc(0) }: Shape): Buffer {
  const head = frame(types.headers, flags.endHeaders, streamId, grpcHeaders(path, headers()));
  return Buffer.concat([head, frame(types.data, flags.endStream, streamId, envelope(message))]);
}

/** So many calls in flight on each connection, the next one as soon as one is answered; again if it is closed. */
function loop(
  target: Target,
  shape: Shape,
  size: { connections: number; inFlight: number; batch?: number },
): void {
  const { inFlight, batch = 1 } = size;
  const open = () => {
    let over = 0;
    connections += 1;
    const connection = openRawHttp2(
      { port: target.grpc, localAddress: target.localAddress },
      {
        open: () => send(inFlight),
        end: () => {
          answers += 1;
          if ((over += 1) % batch === 0) send(batch);
        },
        close: () => setTimeout(open, 10),
      },
    );
    const send = (count: number) => {
      const calls = Array.from({ length: count }, () => call(connection.nextStreamId(), shape));
      connection.socket.write(Buffer.concat(calls));
    };
  };
  for (let count = 0; count < size.connections; count += 1) open();
}

/** The same over HTTP/1.1: so many connections with one request at a time each, or more written at once. */
function loopHttp(
  target: Target,
  make: () => string | Buffer,
  size: { connections: number; pipelined?: number },
): void {
  const { pipelined = 1 } = size;
  const open = () => {
    connections += 1;
    const socket = openSocket(target);
    const send = () =>
      socket.write(Buffer.concat(Array.from({ length: pipelined }, () => Buffer.from(make()))));
    let seen = 0;
    socket.on("connect", send);
    socket.on("data", (chunk) => {
      const count = chunk.toString("latin1").split("HTTP/1.1 ").length - 1;
      answers += count;
      if ((seen += count) < pipelined) return;
      seen = 0;
      send();
    });
    socket.on("close", () => setTimeout(open, 10));
  };
  for (let count = 0; count < size.connections; count += 1) open();
}

function openSocket({ http, localAddress }: Target, port = http): Socket {
  return connect({ port, host: "127.0.0.1", localAddress }).on("error", () => {});
}

const post = (path: string, headers: Record<string, string>, body: string | Uint8Array = "{}") => {
  const lines = Object.entries({
    "content-type": "application/json",
    ...headers,
    "content-length": String(body.length),
  });
  const head = [`POST ${path} HTTP/1.1`, "host: x", ...lines.map(([name, value]) => `${name}: ${value}`)];
  return Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`), Buffer.from(body)]);
};

/** 10,000 contacts of one job, some 3.5 MB. */
const manyContacts = (batchJobId: string) =>
  create(AddContactsRequestSchema, {
    batchJobId,
    contacts: Array.from({ length: 10_000 }, (_, i) => ({
      phone: `+1415${String(1_000_000 + Math.floor(Math.random() * 8_999_999))}`,
      name: `Name ${i}`,
      fields: Object.fromEntries(Array.from({ length: 3 }, (__, k) => [`field_${k}`, "x".repeat(85)])),
    })),
  });

const attacks: Record<string, (target: Target) => void | Promise<void>> = {
  nothing() {},

  "a process that only computes"() {
    const spin = () => {
      const until = performance.now() + 50;
      while (performance.now() < until);
      setImmediate(spin);
    };
    spin();
  },

  "5,000 Health.Watch in one burst, again and again": async (target) => {
    for (;;) {
      const open = Array.from({ length: 20 }, () => {
        connections += 1;
        return openRawHttp2(
          { port: target.grpc, localAddress: target.localAddress },
          {
            open: ({ socket, nextStreamId }) =>
              socket.write(
                Buffer.concat(Array.from({ length: 250 }, () => call(nextStreamId(), { path: watchPath }))),
              ),
            end: () => (answers += 1),
          },
        );
      });
      await seconds(2);
      for (const { socket } of open) socket.destroy();
    }
  },

  "32 loops of wrong keys, gRPC": (target) =>
    loop(
      target,
      { path: getPath, headers: () => ({ authorization: wrongKey() }) },
      { connections: 4, inFlight: 8 },
    ),

  "32 loops of wrong keys, HTTP": (target) =>
    loopHttp(target, () => post(getPath, { authorization: wrongKey() }), { connections: 32 }),

  "5,000 connections with wrong keys, HTTP": (target) =>
    loopHttp(target, () => post(getPath, { authorization: wrongKey() }), { connections: 5_000 }),

  "500 connections with wrong keys, gRPC": (target) =>
    loop(
      target,
      { path: getPath, headers: () => ({ authorization: wrongKey() }) },
      { connections: 500, inFlight: 10 },
    ),

  "an organization far over its rate, gRPC": (target) =>
    loop(
      target,
      { path: listPath, headers: () => ({ authorization: rightKey(target) }) },
      { connections: 4, inFlight: 50 },
    ),

  "500 calls without a key at a time, gRPC": (target) =>
    loop(target, { path: getPath }, { connections: 2, inFlight: 250 }),

  "pipelined calls without a key, HTTP": (target) =>
    loopHttp(target, () => post(getPath, {}), { connections: 16, pipelined: 500 }),

  "Health.Check in batches of 500": (target) =>
    loop(target, { path: checkPath }, { connections: 2, inFlight: 250, batch: 250 }),

  "Health.Check, a connection each": (target) => {
    const open = () => {
      connections += 1;
      const { socket } = openRawHttp2(
        { port: target.grpc, localAddress: target.localAddress },
        {
          open: ({ nextStreamId }) => socket.write(call(nextStreamId(), { path: checkPath })),
          end: () => {
            answers += 1;
            socket.destroy();
          },
          close: () => setImmediate(open),
        },
      );
    };
    for (let count = 0; count < 64; count += 1) open();
  },

  "unknown methods, gRPC": (target) =>
    loop(target, { path: "/no.Such/Method" }, { connections: 4, inFlight: 64 }),

  "unknown paths, HTTP": (target) =>
    loopHttp(target, () => "GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n", { connections: 64 }),

  "/metrics and the console, 32 at a time": (target) => {
    loopHttp(target, () => "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n", { connections: 16 });
    loopHttp(target, () => "GET / HTTP/1.1\r\nhost: x\r\n\r\n", { connections: 16 });
  },

  "valid requests of 3.5 MB, gRPC": (target) => {
    const message = Buffer.from(toBinary(AddContactsRequestSchema, manyContacts(target.jobId)));
    for (let count = 0; count < 2; count += 1) {
      const session = connectHttp2(`http://127.0.0.1:${target.grpc}`, { maxSessionMemory: 100 });
      session.on("error", () => {});
      const send = () => {
        const stream = session.request({
          ":method": "POST",
          ":path": addPath,
          "content-type": "application/grpc",
          te: "trailers",
          authorization: rightKey(target),
        });
        stream
          .on("error", () => {})
          .on("close", send)
          .resume();
        stream.on("end", () => (answers += 1));
        stream.end(envelope(message));
      };
      send();
    }
  },

  "valid requests of 3.5 MB, JSON": (target) => {
    const body = toJsonString(AddContactsRequestSchema, manyContacts(target.jobId));
    const request = post(addPath, { authorization: rightKey(target) }, body);
    loopHttp(target, () => request, { connections: 2 });
  },

  "requests that are too large, or of too many elements": (target) => {
    const contacts = Buffer.alloc(16 * 1024 * 1024 - 2, Buffer.from([0x12, 0]));
    const headers = () => ({ authorization: rightKey(target) });
    const request = post(addPath, { ...headers(), "content-type": "application/proto" }, contacts);
    loopHttp(target, () => request, { connections: 4 });
    loopHttp(target, () => post(addPath, headers(), " ".repeat(17_000_000)), { connections: 4 });
  },

  "2,000 half-open and slow connections": async (target) => {
    const sockets = Array.from({ length: 2_000 }, (_, i) =>
      openSocket(target, i % 2 === 0 ? target.http : target.grpc),
    );
    const head = `POST ${checkPath} HTTP/1.1\r\nhost: x\r\nx-slow: `;
    for (const [i, socket] of sockets.entries()) socket.write(i % 2 === 0 ? head : "PRI * HTTP/2.0\r\n");
    for (;;) {
      await seconds(0.5);
      for (const [i, socket] of sockets.entries()) if (i % 2 === 0 && socket.writable) socket.write("x");
    }
  },

  "5,000 idle connections": (target) => {
    for (let i = 0; i < 5_000; i += 1) {
      connections += 1;
      if (i % 2 === 0) openSocket(target);
      else openRawHttp2({ port: target.grpc, localAddress: target.localAddress }, { open: () => {} });
    }
  },

  "2,000 watch streams left open": (target) => {
    const message = Buffer.concat([Buffer.from([0x0a, 36]), Buffer.from(target.jobId)]);
    const watch = { path: watchJobsPath, headers: () => ({ authorization: rightKey(target) }), message };
    loop(target, watch, { connections: 10, inFlight: 200 });
  },

  "slow readers of long lists": (target) => {
    const request = post(listPath, { authorization: rightKey(target) }, `{"pageSize":1000}`);
    for (let count = 0; count < 100; count += 1) {
      const socket = openSocket(target);
      socket.pause();
      for (let pages = 0; pages < 20; pages += 1) socket.write(request);
    }
  },

  "imports that never end": async (target) => {
    const headers = { authorization: rightKey(target), "content-type": "text/csv" };
    const sockets = Array.from({ length: 50 }, () => openSocket(target));
    const path = `/batch-jobs/${target.jobId}/contacts.csv`;
    const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    for (const socket of sockets) {
      socket.on("data", () => (answers += 1));
      socket.write(
        `POST ${path} HTTP/1.1\r\nhost: x\r\n${head.join("")}transfer-encoding: chunked\r\n\r\n6\r\nphone\n\r\n`,
      );
    }
    loop(
      target,
      { path: importPath, headers: () => ({ authorization: rightKey(target) }) },
      { connections: 1, inFlight: 50 },
    );
    for (;;) {
      await seconds(0.2);
      for (const socket of sockets) if (socket.writable) socket.write("1\r\n+\r\n");
    }
  },

  "reflection, 64 streams of 100 questions": (target) => {
    const question = Buffer.concat([
      Buffer.from([0x22, 30]),
      Buffer.from("callsheet.v1.BatchJobService  ".slice(0, 30)),
    ]);
    const body = Buffer.concat(Array.from({ length: 100 }, () => envelope(question)));
    const open = () => {
      connections += 1;
      const connection = openRawHttp2(
        { port: target.grpc, localAddress: target.localAddress },
        {
          open: () => ask(16),
          end: () => {
            answers += 1;
            ask(1);
          },
          close: () => setTimeout(open, 10),
        },
      );
      const ask = (count: number) => {
        for (let i = 0; i < count; i += 1) {
          const id = connection.nextStreamId();
          const head = frame(types.headers, flags.endHeaders, id, grpcHeaders(reflectionPath));
          connection.socket.write(Buffer.concat([head, frame(types.data, flags.endStream, id, body)]));
        }
      };
    };
    for (let count = 0; count < 4; count += 1) open();
  },

  "HTTP/2 rapid reset": (target) => {
    const block = grpcHeaders(checkPath);
    const cancel = Buffer.from([0, 0, 0, 8]);
    const open = () => {
      connections += 1;
      const { socket, nextStreamId } = openRawHttp2(
        { port: target.grpc, localAddress: target.localAddress },
        { open: () => send(), close: () => setTimeout(open, 10) },
      );
      const send = () => {
        if (!socket.writable) return;
        const frames = Array.from({ length: 200 }, () => {
          const id = nextStreamId();
          return [frame(types.headers, flags.endHeaders, id, block), frame(types.reset, 0, id, cancel)];
        });
        answers += 200;
        if (socket.write(Buffer.concat(frames.flat()))) setImmediate(send);
        else socket.once("drain", send);
      };
    };
    for (let count = 0; count < 8; count += 1) open();
  },

  "header floods": (target) => {
    const many = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`x-${i}`, "y".repeat(250)]));
    loop(target, { path: getPath, headers: () => many }, { connections: 4, inFlight: 32 });
    loopHttp(target, () => post(getPath, many), { connections: 16 });
    const open = () => {
      connections += 1;
      const { socket, nextStreamId } = openRawHttp2(
        { port: target.grpc, localAddress: target.localAddress },
        { open: () => send(), close: () => setTimeout(open, 10) },
      );
      const send = () => {
        const id = nextStreamId();
        const more = frame(types.continuation, 0, id, headerBlock({ "x-more": "z".repeat(10_000) }));
        const head = frame(types.headers, 0, id, grpcHeaders(getPath));
        socket.write(Buffer.concat([head, ...Array.from({ length: 20 }, () => more)]));
      };
    };
    for (let count = 0; count < 8; count += 1) open();
  },

  "200 lists of one organization at a time": (target) => {
    const body = `{"pageSize":1000,"nameContains":"no such name"}`;
    loopHttp(target, () => post(listPath, { authorization: rightKey(target) }, body), { connections: 200 });
  },
};

export const attackNames = Object.keys(attacks);

if (import.meta.main) {
  const [name = "", http, grpc, apiKey = "", jobId = "", localAddress = "127.0.0.1"] = process.argv.slice(2);
  const attack = attacks[name];
  if (attack === undefined) throw new Error(`there is no attack ${name}`);
  process.once("SIGTERM", () => {
    process.stdout.write(`${JSON.stringify({ answers, connections })}\n`, () => process.exit(0));
  });
  setInterval(() => {}, 1_000);
  await attack({ http: Number(http), grpc: Number(grpc), apiKey, jobId, localAddress });
}
