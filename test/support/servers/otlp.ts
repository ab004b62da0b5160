import { once } from "node:events";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/*
 * A receiver of OTLP over HTTP, as far as tests look at spans. The numbers of fields are those of
 * opentelemetry/proto/trace/v1/trace.proto.
 */

export type ReceivedSpan = {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  /** `traceId-spanId` of each. */
  readonly links: readonly string[];
  readonly attributes: Readonly<Record<string, string | number>>;
};

/** The delimited fields of a message, by number, and its other fields as numbers. */
function readFields(bytes: Uint8Array) {
  const reader = new BinaryReader(bytes);
  const found = new Map<number, (Uint8Array | number)[]>();
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    let value: Uint8Array | number = 0;
    if (type === WireType.LengthDelimited) value = reader.bytes();
    else if (type === WireType.Varint) value = Number(reader.int64());
    else reader.skip(type, number);
    found.set(number, [...(found.get(number) ?? []), value]);
  }
  const bytesOf = (number: number) => (found.get(number) ?? []).filter((value) => typeof value !== "number");
  return {
    all: bytesOf,
    text: (number: number) => Buffer.from(bytesOf(number)[0] ?? []).toString(),
    hex: (number: number) => Buffer.from(bytesOf(number)[0] ?? []).toString("hex"),
    number: (number: number) => found.get(number)?.find((value) => typeof value === "number"),
  };
}

function readAttribute(bytes: Uint8Array): [string, string | number] {
  const pair = readFields(bytes);
  const value = readFields(pair.all(2)[0] ?? new Uint8Array());
  return [pair.text(1), value.number(3) ?? value.text(1)];
}

function readSpan(bytes: Uint8Array): ReceivedSpan {
  const span = readFields(bytes);
  return {
    name: span.text(5),
    traceId: span.hex(1),
    spanId: span.hex(2),
    parentSpanId: span.hex(4),
    links: span.all(13).map((link) => {
      const fields = readFields(link);
      return `${fields.hex(1)}-${fields.hex(2)}`;
    }),
    attributes: Object.fromEntries(span.all(9).map(readAttribute)),
  };
}

const readSpans = (request: Uint8Array): ReceivedSpan[] =>
  readFields(request)
    .all(1)
    .flatMap((resource) => readFields(resource).all(2))
    .flatMap((scope) => readFields(scope).all(2))
    .map(readSpan);

export type Receiver = AsyncDisposable & {
  readonly url: string;
  readonly spans: readonly ReceivedSpan[];
  /** All that has come, as it came. */
  raw(): string;
  /** From now on it answers nothing; how often it was asked since is told by `asked`. */
  hang(): void;
  asked(): number;
};

export async function startReceiver(): Promise<Receiver> {
  const spans: ReceivedSpan[] = [];
  const bodies: Buffer[] = [];
  let hangs = false;
  let asked = 0;

  async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    asked += 1;
    bodies.push(body);
    spans.push(...readSpans(body));
    if (!hangs) response.writeHead(200, { "content-type": "application/x-protobuf" }).end();
  }
  const server = createServer((request, response) => void take(request, response));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    raw: () => Buffer.concat(bodies).toString("latin1"),
    hang: () => void (hangs = true),
    asked: () => asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await server[Symbol.asyncDispose]();
    },
  };
}
