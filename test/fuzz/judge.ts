import { gunzipSync } from "node:zlib";
import { fromBinary, fromJson } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { codeFromString, codeToHttpStatus } from "@connectrpc/connect/protocol-connect";
import { errorReasons } from "../../src/domain/batch-job-error.ts";
import { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../src/gen/google/rpc/status_pb.ts";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { codes } from "../../src/rpc/errors.ts";
import type { Asked } from "./calls.ts";
import type { Answered } from "./send.ts";

/** How a call was answered, in a word, and what is wrong with that by proto/README.md, if anything is. */
export type Verdict = { readonly answer: string; readonly fault?: string | undefined };

type Detail = { readonly type: string; readonly bytes: Uint8Array };
type Ending = { readonly code: Code | undefined; readonly details: readonly Detail[] };
/** An answer that was read to its end. */
type Read = { readonly messages: readonly Buffer[]; readonly ending: Ending };

const wellDone: Ending = { code: undefined, details: [] };

/** More than what needs no key may have, the least of the limits. */
const largeBytes = 4_096;

/** Which codes this call may be given without a detail of ours. */
function isOfTransport(code: Code, { method, largestBytes, isOdd, hasDeadline }: Asked): boolean {
  switch (code) {
    case Code.InvalidArgument:
      // A deadline may be none at all.
      return isOdd || hasDeadline;
    case Code.Unimplemented:
      return isOdd;
    case Code.ResourceExhausted:
      return largestBytes > largeBytes || isOdd;
    case Code.DeadlineExceeded:
      return hasDeadline;
    case Code.NotFound:
      return method === Health.method.check;
    default:
      return false;
  }
}

/** What is wrong with a refusal, or nothing. */
function faultOf({ code, details }: Ending, asked: Asked): string | undefined {
  if (code === undefined) return undefined;
  const name = Code[code] ?? `code ${code}`;
  if (details.length === 0) return isOfTransport(code, asked) ? undefined : `${name} without a detail`;
  const infos = details.filter(({ type }) => type === ErrorInfoSchema.typeName);
  const [first] = infos;
  if (first === undefined || infos.length > 1) return `${name} with ${infos.length} of ErrorInfo`;
  const { domain, reason, metadata } = fromBinary(ErrorInfoSchema, first.bytes);
  const found = errorReasons.find((each) => each === metadata["code"]);
  if (domain !== "callsheet" || found === undefined || reason !== found.toUpperCase())
    return `${name} with ${domain} ${reason} ${metadata["code"]}`;
  if (codes[found] !== code) return `${found} is ${name}`;
  const others = details.map(({ type }) => type.replace("google.rpc.", ""));
  const isKnown = others.every((type) => ["BadRequest", "ErrorInfo", "RetryInfo"].includes(type));
  return isKnown ? undefined : `${found} with ${others.join(", ")}`;
}

const compressed = 1;

/** Envelopes, each with its flags; what was compressed is so no more. */
function* envelopes(body: Buffer): Generator<{ flags: number; bytes: Buffer }> {
  for (let at = 0; at + 5 <= body.length;) {
    const to = at + 5 + body.readUInt32BE(at + 1);
    if (to > body.length) return;
    const flags = body.readUInt8(at);
    const sent = body.subarray(at + 5, to);
    const isCompressed = (flags & compressed) !== 0;
    yield { flags: flags & ~compressed, bytes: isCompressed ? gunzipSync(sent) : sent };
    at = to;
  }
}

const withFlag = (body: Buffer, flag: number) =>
  [...envelopes(body)].filter(({ flags }) => (flags & flag) !== 0).map(({ bytes }) => bytes);

const withoutFlags = (body: Buffer) =>
  [...envelopes(body)].filter(({ flags }) => flags === 0).map(({ bytes }) => bytes);

/** Throws if it is no such ending. */
function grpcEnding(trailers: Readonly<Record<string, unknown>>): Ending {
  const status = Number(trailers["grpc-status"]);
  if (status === 0) return wellDone;
  if (!(status in Code)) throw new Error(`grpc-status is ${String(trailers["grpc-status"])}`);
  const text = trailers["grpc-status-details-bin"];
  if (typeof text !== "string") return { code: status, details: [] };
  const said = fromBinary(StatusSchema, Buffer.from(text, "base64"));
  if (said.code !== status) throw new Error(`grpc-status ${status} has a status of ${said.code}`);
  const details = said.details.map(({ typeUrl, value }) => ({
    type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
    bytes: value,
  }));
  return { code: status, details };
}

type ConnectError = {
  readonly code?: unknown;
  readonly details?: readonly { type: string; value: string }[];
};

function connectEnding(error: ConnectError): Ending {
  const code = codeFromString(typeof error.code === "string" ? error.code : "");
  if (code === undefined) throw new Error(`the code is ${String(error.code)}`);
  const { details = [] } = error;
  return { code, details: details.map(({ type, value }) => ({ type, bytes: Buffer.from(value, "base64") })) };
}

function webTrailers(body: Buffer): Record<string, string> {
  const [frame] = withFlag(body, 128);
  if (frame === undefined) throw new Error("there are no trailers");
  const lines = frame.toString().split("\r\n");
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]),
  );
}

/** Base64 in pieces that each have their own padding. */
const fromText = (text: string): Buffer =>
  Buffer.concat((text.match(/[^=]+=*/g) ?? []).map((piece) => Buffer.from(piece, "base64")));

const typeOf = ({ headers }: Answered): string => String(headers["content-type"] ?? "");

/** Whether it was read to its end or not, what is there of it; throws if it is not as its protocol has it. */
function read(answered: Answered): Read {
  const { status, headers, trailers, body, end } = answered;
  const type = typeOf(answered);
  const isWhole = end === "whole";
  if (type.startsWith("application/grpc-web")) {
    const bytes = type.includes("-text") ? fromText(body.toString("latin1")) : body;
    const isTrailersOnly = headers["grpc-status"] !== undefined;
    const ending = isWhole ? grpcEnding(isTrailersOnly ? headers : webTrailers(bytes)) : wellDone;
    return { messages: withoutFlags(bytes), ending };
  }
  if (type.startsWith("application/grpc"))
    return {
      messages: withoutFlags(body),
      ending: isWhole ? grpcEnding({ ...headers, ...trailers }) : wellDone,
    };
  if (type.startsWith("application/connect+")) {
    const [last] = withFlag(body, 2);
    if (last === undefined && isWhole) throw new Error("the stream has no end");
    const { error } = JSON.parse(last?.toString() ?? "{}") as { error?: ConnectError };
    return { messages: withoutFlags(body), ending: error ? connectEnding(error) : wellDone };
  }
  if (status === 200) return { messages: isWhole ? [body] : [], ending: wellDone };
  const ending = connectEnding(JSON.parse(body.toString()) as ConnectError);
  if (ending.code !== undefined && codeToHttpStatus(ending.code) !== status)
    throw new Error(`${Code[ending.code]} has status ${status}`);
  return { messages: [], ending };
}

/** Whether it is one of the sentences that HTTP itself answers: to a GET where none will do, or to an odd call. */
const isSentence = ({ protocol, isOdd }: Asked, answered: Answered): boolean =>
  typeOf(answered).startsWith("text/plain") &&
  (answered.status === 405 ? protocol === "GET" : isOdd && [415, 431].includes(answered.status));

function judgeWhole(asked: Asked, answered: Answered): Verdict {
  if (isSentence(asked, answered)) return { answer: `status ${answered.status}` };
  const { messages, ending } = read(answered);
  const isJson = asked.form === "json";
  for (const bytes of messages) {
    if (isJson) fromJson(asked.method.output, JSON.parse(bytes.toString()));
    else fromBinary(asked.method.output, bytes);
  }
  const answer = ending.code === undefined ? "ok" : (Code[ending.code] ?? "no code");
  return { answer, fault: faultOf(ending, asked) };
}

/** Judges an answer by what was asked. */
export function judge(asked: Asked, answered: Answered): Verdict {
  const shown = (why: string) =>
    `${why}: ${answered.status} ${JSON.stringify({ ...answered.headers, ...answered.trailers })} ${answered.body.toString().slice(0, 300)}`;
  const { end } = answered;
  if (end === "late") return { answer: "late", fault: "no answer in a minute" };
  if (asked.isCut && end === "left") return { answer: "cut" };
  if (end === "left" && answered.status === 0) return { answer: "silent", fault: "the stream did not begin" };
  // Its time was over while the answer was written.
  if (end === "broken" && asked.hasDeadline) return { answer: "broken off in time" };
  if (end === "broken") return { answer: "broken", fault: shown("it was broken off") };
  try {
    const { answer, fault } = judgeWhole(asked, answered);
    return { answer, fault: fault && shown(fault) };
  } catch (thrown) {
    return { answer: "garbled", fault: shown(String(thrown)) };
  }
}
