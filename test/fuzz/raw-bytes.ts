import { once } from "node:events";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { envelope, flags, frame, grpcHeaders, headerBlock, types } from "../../bench/raw-http2.ts";
import type { Random } from "../support/random.ts";
import type { Verdict } from "./judge.ts";
import { personal } from "./words.ts";

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const createPath = "/callsheet.v1.BatchJobService/CreateBatchJob";
const checkPath = "/grpc.health.v1.Health/Check";
const windowUpdate = 8;

const anyBytes = (random: Random, most: number): Buffer =>
  Buffer.from(Array.from({ length: random.between(0, most) }, () => random.between(0, 255)));

/** HTTP/1.1 that is not quite. */
function http1(random: Random): Buffer {
  const head = random.pick([
    `POST ${createPath} HTTP/1.1\r\nhost: x\r\n`,
    `POST ${createPath} HTTP/1.0\r\n`,
    `GET /${"a".repeat(random.pick([1, 20_000]))} HTTP/1.1\r\nhost: x\r\n`,
    "GET http://[ HTTP/1.1\r\nhost: x\r\n",
    "GET //x/..//%00?%zz HTTP/1.1\r\nhost: \r\n",
    "BREW / HTTP/1.1\r\nhost: x\r\n",
    "CONNECT x:1 HTTP/1.1\r\nhost: x\r\n",
    "OPTIONS * HTTP/1.1\r\nhost: x\r\n",
    "GET / HTTP/9.9\r\n",
    "\r\n\r\n",
  ]);
  const rest = random.pick([
    "\r\n",
    "content-length: 5\r\n\r\n{",
    "content-length: -5\r\n\r\n",
    "content-length: 5\r\ncontent-length: 6\r\n\r\n{}",
    "transfer-encoding: chunked\r\n\r\nzz\r\n",
    "transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
    "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nffffffffffff\r\n{",
    "upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABk\r\n\r\n",
    "upgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    "expect: 100-continue\r\ncontent-length: 2\r\n\r\n{}",
    "expect: something\r\n\r\n",
    `x: ${personal.name}\0\r\n\r\n`,
    `: y\r\n folded\r\n\r\n`,
    `${"x: y\r\n".repeat(3_000)}\r\n`,
  ]);
  return Buffer.from(head + rest);
}

/** A frame of any type there is or is not, on any stream, of any length. */
function wildFrame(random: Random): Buffer {
  const streamId = random.pick([0, 1, 1, 1, 2, 3, 5, 0x7fff_ffff]);
  const [type, flag] = [random.between(0, 16), random.pick([0, 1, 4, 5, 8, 32, 255])];
  const whole = frame(type, flag, streamId, anyBytes(random, 40));
  if (random.chance(0.1)) whole.writeUIntBE(random.pick([0, 1, 16_385, 0xff_ffff]), 0, 3);
  return whole;
}

const number = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

/** Calls that are begun, sent to, ended, reset and mixed up; the first frame that is wrong ends the connection. */
function http2(random: Random): Buffer {
  const wild = random.pick([0, 0.05, 0.5]);
  let last = -1;
  const frames = Array.from({ length: random.between(1, 20) }, () => {
    if (last < 0 || random.chance(0.3)) {
      last += 2;
      const flag = flags.endHeaders | (random.chance(0.2) ? flags.endStream : 0);
      return frame(types.headers, flag, last, grpcHeaders(random.pick([createPath, checkPath, "/", "*"])));
    }
    if (random.chance(wild)) return wildFrame(random);
    const streamId = random.chance(0.7) ? last : 1 + 2 * random.between(0, (last - 1) / 2);
    return random.pick([
      () => frame(types.data, random.between(0, 1), streamId, envelope(anyBytes(random, 60))),
      () => frame(types.data, random.between(0, 1), streamId, anyBytes(random, 20)),
      () => frame(types.reset, 0, streamId, number(random.pick([0, 5, 8, 99]))),
      () => frame(types.ping, random.between(0, 1), 0, Buffer.alloc(8)),
      () =>
        frame(
          types.settings,
          0,
          0,
          Buffer.concat([Buffer.from([0, 4]), number(random.pick([0, 1, 65_535]))]),
        ),
      () => frame(windowUpdate, 0, random.pick([0, streamId]), number(random.pick([1, 65_535, 0x7fff_ffff]))),
      () => frame(types.headers, flags.endHeaders | flags.endStream, streamId, headerBlock({ "x-end": "y" })),
    ])();
  });
  const begun = random.chance(0.95) ? preface : preface.subarray(0, 10);
  return Buffer.concat([begun, frame(types.settings, 0, 0), ...frames]);
}

/** The first bytes of a handshake, with a length that may not be its own. */
const tlsHello = (random: Random): Buffer =>
  Buffer.concat([
    Buffer.from([0x16, 3, random.between(0, 4), random.between(0, 255), random.between(0, 255), 1]),
    anyBytes(random, 300),
  ]);

export type RawTarget = { readonly port: number; readonly isTls: boolean };

/** How long a connection is looked at that says nothing. */
const lookMs = 150;

const http2InternalError = 2;

/** Whether a call ended as the service's own failure. Of a whole connection Node says so where it began wrong. */
function isHttp2Failure(said: Buffer): boolean {
  for (let at = 0; at + 13 <= said.length; at += 9 + said.readUIntBE(at, 3))
    if (said[at + 3] === types.reset && said.readUInt32BE(at + 9) === http2InternalError) return true;
  return false;
}

function judgeRaw(said: Buffer): Verdict {
  const [, status] = /^HTTP\/1\.1 (\d{3})/.exec(said.subarray(0, 20).toString("latin1")) ?? [];
  if (status !== undefined) {
    const isFailure = status.startsWith("5") && !["501", "505"].includes(status);
    return { answer: `raw ${status}`, fault: isFailure ? `the service failed: ${status}` : undefined };
  }
  if (said.length === 0) return { answer: "raw, nothing" };
  return { answer: "raw, HTTP/2", fault: isHttp2Failure(said) ? "the service failed" : undefined };
}

async function writeSlowly(bytes: Buffer, socket: ReturnType<typeof connect>): Promise<void> {
  for (const byte of bytes.subarray(0, 40)) {
    if (!socket.writable) return;
    await new Promise((resolve) => socket.write(Buffer.from([byte]), resolve));
  }
}

/** Writes such bytes to a port, at once or slowly, and takes what comes. */
export async function sendRaw({ port, isTls }: RawTarget, random: Random): Promise<Verdict> {
  const bytes = random.pick([http1, http2, http2, tlsHello, () => anyBytes(random, 400)])(random);
  const isInside = isTls && random.chance(0.5);
  const ALPNProtocols = [random.pick(["h2", "http/1.1"])];
  const socket = isInside
    ? connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols })
    : connect(port, "127.0.0.1");
  const chunks: Buffer[] = [];
  socket.on("error", () => {});
  socket.on("data", (chunk) => void chunks.push(chunk));
  const closed = once(socket, "close").catch(() => {});
  if (random.chance(0.05)) await Promise.race([writeSlowly(bytes, socket), closed]);
  else if (random.chance(0.5)) socket.end(bytes);
  else socket.write(bytes);
  socket.setTimeout(lookMs, () => (isInside ? socket.destroy() : socket.resetAndDestroy()));
  await closed;
  return judgeRaw(Buffer.concat(chunks));
}
