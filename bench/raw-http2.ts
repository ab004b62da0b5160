// HTTP/2 by hand: a client that costs next to nothing, so that an attacker on the same machine is cheaper than what it
// attacks.
import { connect, type Socket } from "node:net";

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const headerLength = 9;

export const types = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  continuation: 9,
} as const;
export const flags = { endStream: 1, ack: 1, endHeaders: 4 } as const;

export function frame(
  type: number,
  flag: number,
  streamId: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(headerLength);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flag, 4);
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) + 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}

/** Headers as HPACK without its tables. */
export const headerBlock = (headers: Record<string, string>): Buffer =>
  Buffer.concat(
    Object.entries(headers).flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]),
  );

export const grpcHeaders = (path: string, headers: Record<string, string> = {}): Buffer =>
  headerBlock({
    ":method": "POST",
    ":scheme": "http",
    ":path": path,
    ":authority": "localhost",
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });

export const envelope = (message: Uint8Array): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
};

export type RawConnection = { readonly socket: Socket; nextStreamId(): number };

/** `onEnd` is told of each stream that the other side ended or reset. */
export function openRawHttp2(
  target: { readonly port: number; readonly localAddress: string },
  on: { open: (connection: RawConnection) => void; end?: () => void; close?: () => void },
): RawConnection {
  const socket = connect({ port: target.port, host: "127.0.0.1", localAddress: target.localAddress });
  let streamId = -1;
  const connection = { socket, nextStreamId: () => (streamId += 2) };
  let rest = Buffer.alloc(0);
  socket.setNoDelay(true);
  socket.on("error", () => {});
  socket.on("close", () => on.close?.());
  socket.on("connect", () => {
    // A window that holds whatever comes.
    const window = Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff]);
    socket.write(Buffer.concat([Buffer.from(preface), frame(types.settings, 0, 0, window)]));
    on.open(connection);
  });
  socket.on("data", (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    for (; at + headerLength <= rest.length;) {
      const length = rest.readUIntBE(at, 3);
      if (at + headerLength + length > rest.length) break;
      const [type, flag] = [rest[at + 3] ?? 0, rest[at + 4] ?? 0];
      const isEnd = (type === types.headers || type === types.data) && (flag & flags.endStream) !== 0;
      if (type === types.settings && (flag & flags.ack) === 0)
        socket.write(frame(types.settings, flags.ack, 0));
      if (isEnd || type === types.reset) on.end?.();
      at += headerLength + length;
    }
    rest = rest.subarray(at);
  });
  return connection;
}
