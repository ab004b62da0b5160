import { gzipSync } from "node:zlib";
import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import type { Random } from "../support/random.ts";
import { type Form, type Making, bytesOf, makeMessage } from "./messages.ts";
import type { Vocabulary } from "./words.ts";

export type Protocol = "gRPC" | "Connect" | "GET" | "gRPC-Web" | "gRPC-Web text";

/** One call as it goes over the wire, and what is known of it that its answer is judged by. */
export type Asked = {
  readonly method: DescMethod;
  readonly protocol: Protocol;
  readonly form: Form;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Its client goes in the middle of the body. */
  readonly isCut: boolean;
  /** Its answer goes on until its client goes. */
  readonly isEndless: boolean;
  /** There is something in it that a transport may refuse unread, or has no code of ours for. */
  readonly isOdd: boolean;
  /** Of the largest message, before it is compressed. */
  readonly largestBytes: number;
  readonly hasDeadline: boolean;
};

const endless: ReadonlySet<string> = new Set(["WatchBatchJobs", "WatchEvents", "Watch"]);

/** A service that only the gRPC port has. */
const reflection = "ServerReflection";

const takesMany = ({ methodKind }: DescMethod): boolean =>
  methodKind === "client_streaming" || methodKind === "bidi_streaming";

/** Connect has GET for what only reads, and is no stream. */
const takesGet = ({ idempotency, methodKind }: DescMethod): boolean =>
  methodKind === "unary" && idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;

function protocolOf(method: DescMethod, random: Random): Protocol {
  if (method.parent.name === reflection) return "gRPC";
  const kinds: Protocol[] = ["gRPC", "gRPC", "Connect", "Connect", "gRPC-Web", "gRPC-Web text"];
  return random.pick(takesGet(method) || random.chance(0.02) ? [...kinds, "GET"] : kinds);
}

/** Messages in their envelopes, some of them compressed, or with flags and lengths that are not theirs. */
function enveloped(messages: readonly Buffer[], making: Making): Buffer {
  const { random } = making;
  const pieces = messages.map((message) => {
    if (random.chance(0.05)) return Buffer.from(encodeEnvelope(1, gzipSync(message)));
    const isWrong = random.chance(making.wrong / 4);
    making.isOdd ||= isWrong;
    const flags = isWrong ? random.pick([1, 2, 4, 128, 255]) : 0;
    const envelope = Buffer.from(encodeEnvelope(flags, message));
    if (isWrong && random.chance(0.5))
      envelope.writeUInt32BE(random.pick([0, 1, 0x7fff_ffff, 2 ** 32 - 1]), 1);
    return envelope;
  });
  return Buffer.concat(pieces);
}

/** The messages of one call; of a stream up to four. */
function messagesOf(method: DescMethod, form: Form, making: Making): Buffer[] {
  const { random } = making;
  const isWrong = random.chance(making.wrong / 4);
  making.isOdd ||= isWrong;
  const count = isWrong ? random.between(0, 3) : takesMany(method) ? random.between(1, 4) : 1;
  return Array.from({ length: count }, (_, i) => {
    const place = i === 0 ? "first" : i === count - 1 ? "last" : "middle";
    const here = method.methodKind === "client_streaming" ? place : "only";
    const each = Object.assign(making, { place: here } as const);
    const bytes = bytesOf(makeMessage(method.input, each), form, each);
    making.largestBytes = Math.max(making.largestBytes, bytes.length);
    return bytes;
  });
}

function oddHeaders(random: Random): Record<string, string> {
  if (random.chance(0.85)) return {};
  return random.pick<Record<string, string>>([
    { "x-odd": "y".repeat(random.pick([1, 1_000, 7_000])) },
    { "idempotency-key": random.pick(["", "one", "x".repeat(65)]) },
    { traceparent: random.pick(["", "00-x-y-z", `00-${"ab".repeat(16)}-${"cd".repeat(8)}-01`]) },
    { "x-forwarded-for": random.pick(["::1, x", "999.1.1.1", ""]) },
    { "some-bin": random.pick(["AAA", "====", "%"]) },
    { origin: random.pick(["null", "https://elsewhere.example", "\u00e9"]) },
    { "accept-language": "x".repeat(200) },
  ]);
}

function deadlineHeaders(protocol: Protocol, random: Random): Record<string, string> {
  if (random.chance(0.95)) return {};
  return protocol.startsWith("gRPC")
    ? { "grpc-timeout": random.pick(["1n", "5m", "99999999H", "-1m", "1x", ""]) }
    : { "connect-timeout-ms": random.pick(["1", "5", "x", "-1", "9999999999", "99999999999"]) };
}

type Sent = Pick<Asked, "body"> & { readonly path?: string; readonly headers: Record<string, string> };

function asGrpc(method: DescMethod, making: Making): Sent {
  const isWrong = making.random.chance(making.wrong / 4);
  making.isOdd ||= isWrong;
  const headers = {
    "content-type": isWrong
      ? making.random.pick(["application/grpc+json", "application/grpc;x"])
      : "application/grpc",
    te: "trailers",
    "grpc-encoding": "gzip",
  };
  return { headers, body: enveloped(messagesOf(method, "proto", making), making) };
}

function asConnect(method: DescMethod, form: Form, making: Making): Sent {
  const { random } = making;
  const messages = messagesOf(method, form, making);
  if (method.methodKind !== "unary") {
    const headers = { "content-type": `application/connect+${form}`, "connect-content-encoding": "gzip" };
    return { headers, body: enveloped(messages, making) };
  }
  const body = Buffer.concat(messages);
  const type = { "content-type": `application/${form}` };
  if (random.chance(0.95)) return { headers: type, body };
  const isZipped = random.chance(0.8);
  making.isOdd ||= !isZipped;
  return { headers: { ...type, "content-encoding": "gzip" }, body: isZipped ? gzipSync(body) : body };
}

/** No more than a header line may be. */
const longestQuery = 6_000;

function asGet(method: DescMethod, form: Form, making: Making): Sent {
  const { random } = making;
  const message = Buffer.concat(messagesOf(method, form, making));
  const isBase64 = form === "proto" || random.chance(0.5);
  const isWrong = random.chance(making.wrong / 2);
  const query = new URLSearchParams({
    encoding: isWrong ? random.pick(["xml", "", "json"]) : form,
    ...(!isWrong && { connect: "v1" }),
    ...(isWrong && { compression: random.pick(["gzip", "br", "identity"]) }),
    ...(isBase64
      ? { base64: "1", message: message.toString(isWrong ? "latin1" : "base64url") }
      : { message: message.toString() }),
  });
  const text = query.toString();
  making.isOdd ||= isWrong || text.length > longestQuery;
  return { path: `?${text.slice(0, longestQuery)}`, headers: {}, body: Buffer.alloc(0) };
}

function asWeb(method: DescMethod, form: Form, making: Making): Sent {
  const headers = { "content-type": `application/grpc-web+${form}`, "grpc-encoding": "gzip" };
  return { headers, body: enveloped(messagesOf(method, form, making), making) };
}

function asWebText(method: DescMethod, making: Making): Sent {
  const { random } = making;
  const { headers, body } = asWeb(method, "proto", making);
  const text = body.toString("base64");
  const isWrong = random.chance(making.wrong / 2);
  making.isOdd ||= isWrong;
  const sent = isWrong ? text.replace("A", () => random.pick(["=", "%", "", "é"])) : text;
  return { headers: { ...headers, "content-type": "application/grpc-web-text" }, body: Buffer.from(sent) };
}

function send(method: DescMethod, protocol: Protocol, form: Form, making: Making): Sent {
  switch (protocol) {
    case "gRPC":
      return asGrpc(method, making);
    case "Connect":
      return asConnect(method, form, making);
    case "GET":
      return asGet(method, form, making);
    case "gRPC-Web":
      return asWeb(method, form, making);
    case "gRPC-Web text":
      return asWebText(method, making);
  }
}

/** A call of the method, all of it said by the choices. */
export function makeCall(
  method: DescMethod,
  { authorization, words, random }: { authorization: string; words: Vocabulary; random: Random },
): Asked {
  const wrong = random.pick([0, 0, 0.02, 0.2]);
  const making: Making = { words, random, wrong, place: "only", fileBytes: 0, largestBytes: 0, isOdd: false };
  const protocol = protocolOf(method, random);
  // Two of the protocols are always binary.
  const isBinary = protocol === "gRPC" || protocol === "gRPC-Web text" || random.chance(0.3);
  const form = isBinary ? "proto" : "json";
  const { path = "", headers, body } = send(method, protocol, form, making);
  const deadline = deadlineHeaders(protocol, random);
  return {
    method,
    protocol,
    form,
    path: `/${method.parent.typeName}/${method.name}${path}`,
    headers: {
      ...headers,
      ...oddHeaders(random),
      ...deadline,
      ...(authorization !== "" && { authorization }),
    },
    body,
    isCut: protocol !== "GET" && random.chance(0.02),
    isEndless: endless.has(method.name),
    isOdd: making.isOdd,
    largestBytes: making.largestBytes,
    hasDeadline: Object.keys(deadline).length > 0,
  };
}

/** All of a call in one line, with which it can be made again by hand. */
export function shown({ protocol, path, headers, body, isCut }: Asked): string {
  const { authorization: _, ...others } = headers;
  const text = body.toString("latin1");
  const isPlain = /^[\x20-\x7e]*$/.test(text);
  const bytes = isPlain ? text : `base64 ${body.toString("base64")}`;
  const said = bytes.length > 1_500 ? `${bytes.slice(0, 1_500)}… of ${body.length} bytes` : bytes;
  return `${protocol} ${path.slice(0, 500)} ${JSON.stringify(others)}${isCut ? " cut in the middle" : ""} ${said}`;
}
