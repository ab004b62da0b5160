// The hostile half of a crowd, a process of its own: node bench/crowd-hostile.ts HTTP_PORT GRPC_PORT API_KEY
// CONNECTIONS CALLS RATE. Each connection does one kind of harm at its own pace; what they call is what the tests fuzz
// with. It says at its end how often it was answered how.
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { makeCall } from "../test/fuzz/calls.ts";
import { judge } from "../test/fuzz/judge.ts";
import { sendRaw } from "../test/fuzz/raw-bytes.ts";
import { openHttp1, openHttp2 } from "../test/fuzz/send.ts";
import { everyMethod } from "../test/service/every-rpc.ts";
import { createRandom } from "../test/support/random.ts";
import { envelope, flags, frame, grpcHeaders, openRawHttp2, types } from "./raw-http2.ts";

const [http = 0, grpc = 0] = process.argv.slice(2, 4).map(Number);
const apiKey = process.argv[4] ?? "";
const [connections = 0, calls = 0, rate = 0] = process.argv.slice(5).map(Number);
const random = createRandom(17);

const nobodys = () => `Bearer cs_${randomBytes(32).toString("base64url")}`;
const ids = Array.from({ length: 20 }, () => crypto.randomUUID());
/** Nothing of it is anybody's. */
const words = {
  jobIds: ids,
  leaseIds: ids,
  pageTokens: ids,
  apiKeyIds: ids,
  endpointIds: ids,
  importIds: ids,
};

const counts = new Map<string, number>();
const note = (answer: string) => void counts.set(answer, (counts.get(answer) ?? 0) + 1);

type Turn = () => Promise<void>;

/** Calls of every kind under this key, well-formed and not, over all protocols. */
function fuzz(authorization: () => string): Turn {
  const [overGrpc, overHttp] = [openHttp2(`http://127.0.0.1:${grpc}`), openHttp1(`http://127.0.0.1:${http}`)];
  return async () => {
    const asked = makeCall(random.pick(everyMethod), { authorization: authorization(), words, random });
    const answered = await (asked.protocol === "gRPC" ? overGrpc : overHttp).send(asked);
    note(judge(asked, answered).answer);
  };
}

/** Whatever it is, to either port. */
const raw: Turn = async () => {
  const port = random.pick([http, grpc]);
  note((await sendRaw({ port, isTls: false }, random)).answer);
};

/** Calls that are taken back as soon as they are made. */
function reset(): Turn {
  const connection = openRawHttp2({ port: grpc, localAddress: "127.0.0.1" }, { open: () => {} });
  const block = grpcHeaders("/callsheet.v1.BatchJobService/ListBatchJobs", { authorization: nobodys() });
  const cancel = Buffer.from([0, 0, 0, 8]);
  return async () => {
    const id = connection.nextStreamId();
    const begun = frame(types.headers, flags.endHeaders, id, block);
    if (connection.socket.writable)
      connection.socket.write(Buffer.concat([begun, frame(types.reset, 0, id, cancel)]));
    note("reset");
  };
}

/** A few kilobytes that are megabytes. */
function bomb(): Turn {
  const path = "/callsheet.v1.BatchJobService/CreateBatchJob";
  const message = gzipSync(Buffer.alloc(4 * 1024 * 1024 - 2, Buffer.from([0x2a, 0])));
  const body = envelope(message);
  body.writeUInt8(1, 0);
  const overGrpc = openHttp2(`http://127.0.0.1:${grpc}`);
  const asked = {
    ...makeCall(random.pick(everyMethod), { authorization: "", words, random }),
    path,
    protocol: "gRPC",
    isCut: false,
    isEndless: false,
    headers: {
      "content-type": "application/grpc",
      te: "trailers",
      "grpc-encoding": "gzip",
      authorization: `Bearer ${apiKey}`,
    },
    body,
  } as const;
  return async () => note(`bomb ${String((await overGrpc.send(asked)).headers["grpc-status"])}`);
}

function beginBody(): Socket {
  const socket = connect(http, "127.0.0.1").on("error", () => {});
  socket.write(
    `POST /callsheet.v1.BatchJobService/ListBatchJobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${apiKey}\r\n` +
      "content-type: application/json\r\ncontent-length: 60000\r\n\r\n",
  );
  return socket.resume();
}

/** A body that does not end: a byte each turn. */
function slow(): Turn {
  let socket: Socket | undefined;
  return async () => {
    if (socket === undefined || !socket.writable) socket = beginBody();
    socket.write(" ");
    note("a byte");
  };
}

const kinds: readonly (() => Turn)[] = [
  () => fuzz(() => `Bearer ${apiKey}`),
  () => fuzz(nobodys),
  () => fuzz(() => ""),
  () => raw,
  reset,
  slow,
  () => fuzz(() => `Bearer ${apiKey}`),
  bomb,
];

const everyMs = (connections * 1_000) / rate;
const perConnection = Math.ceil(calls / connections);
const began = performance.now();
await Promise.all(
  Array.from({ length: connections }, async (_, place) => {
    const kind = kinds[place % kinds.length];
    if (kind === undefined) return;
    const turn = kind();
    for (let i = 0; i < perConnection; i += 1) {
      await delay(Math.max(0, began + (i + place / connections) * everyMs - performance.now()));
      await turn();
    }
  }),
);
const said = [...counts].toSorted(([, a], [, b]) => b - a).map(([answer, count]) => `${answer} ${count}`);
process.stdout.write(`${said.join(", ")}\n`, () => process.exit(0));
