import type { IncomingMessage, ServerResponse } from "node:http";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import type { DescMethod, Message } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import {
  Code,
  ConnectError,
  type ContextValues,
  type Interceptor,
  createContextKey,
} from "@connectrpc/connect";
import { universalRequestFromNodeRequest } from "@connectrpc/connect-node";
import type { UniversalServerRequest } from "@connectrpc/connect/protocol";
import type { Hold } from "../requests/bytes-in-hand.ts";
import { type Turn, checkInTurns, decodeInTurns } from "../requests/decode.ts";
import { clientLeft } from "../calls/last-resort.ts";
import {
  type Form,
  grpcTimeoutMs,
  longestTimeoutMs,
  type RequestLimits,
  tooLarge,
  tooSlow,
} from "../requests/limits.ts";
import { leaveWhatIsRead } from "./headers.ts";
import { fromWebText, isWebText } from "./web-text.ts";

/** What it takes to read the request of one call. */
export type Reading = {
  readonly limits: RequestLimits;
  readonly values: ContextValues;
  readonly hold: Hold;
  readonly turn: Turn;
  /** What stands for a whole body that is one message: itself, or what withDecoded puts it in the place of. */
  prepare(message: Uint8Array, form: Form): Promise<Uint8Array>;
};

/** The message of a call that has one. */
const decodedKey = createContextKey<Message | undefined>(undefined);

/** Decodes the message of a call, a large one in turns; Connect, which would do it in one, is given an empty one. */
export const decodeFirst =
  (method: DescMethod, { limits, values, turn }: Pick<Reading, "limits" | "values" | "turn">) =>
  async (message: Uint8Array, form: Form): Promise<Uint8Array> => {
    values.set(decodedKey, await decodeInTurns(method.input, message, form, { limits, turn }));
    return form === "JSON" ? emptyJson : emptyBinary;
  };

/** Gives a call the message that was decoded before Connect had it. */
export const withDecoded: Interceptor = (next) => (request) => {
  const message = request.contextValues.get(decodedKey);
  return next(request.stream || message === undefined ? request : { ...request, message });
};

const emptyBinary = new Uint8Array();
const emptyJson = Buffer.from("{}");

type ReadCall = UniversalServerRequest & { readonly body: AsyncIterable<Uint8Array> };

const malformed = (message: string) => new ConnectError(message, Code.InvalidArgument);

const unzip = promisify(gunzip);
const compressedFlag = 1;
/** The flags of Connect's and of gRPC-Web's last envelope, which holds no message. */
const endFlags = 0x02 | 0x80;

/**
 * A request as Connect's handlers take it. Its body is read when they ask for it, after the gate, within the limits of
 * its method: what they get has been counted, and is not compressed any more. Undefined if its Host header is not
 * valid.
 */
export function readCall(
  request: IncomingMessage,
  response: ServerResponse,
  reading: Reading,
): ReadCall | undefined {
  leaveWhatIsRead(request);
  let call: UniversalServerRequest;
  try {
    call = universalRequestFromNodeRequest(request, response, undefined, reading.values);
  } catch {
    return undefined;
  }
  const signal = becauseItsClientLeft(call.signal);
  forgetFarDeadlines(call.header);
  if (call.method === "GET") return { ...call, ...fromQuery(call, reading), signal };
  const sent = timely(request.iterator({ destroyOnReturn: false }), reading.limits.arriveMs);
  const isText = isWebText(call.header.get("content-type") ?? "");
  const chunks = isText ? fromWebText(call.header, sent) : sent;
  return { ...call, signal, body: fromBody(call.header, chunks, reading) };
}

/** Aborts when the other one does, with a reason that is a ConnectError, as all of them are here. */
function becauseItsClientLeft(left: AbortSignal): AbortSignal {
  const controller = new AbortController();
  left.addEventListener("abort", () => controller.abort(clientLeft()));
  return controller.signal;
}

function forgetFarDeadlines(header: Headers): void {
  const connect = header.get("connect-timeout-ms") ?? "";
  if (/^\d{1,10}$/.test(connect) && Number(connect) > longestTimeoutMs) header.delete("connect-timeout-ms");
  if (grpcTimeoutMs(header.get("grpc-timeout") ?? "") > longestTimeoutMs) header.delete("grpc-timeout");
}

/** A GET as the POST that says the same. */
function fromQuery(call: UniversalServerRequest, reading: Reading): Pick<ReadCall, "method" | "body"> {
  const query = new URL(call.url).searchParams;
  const encoding = query.get("encoding") ?? "";
  const isBinary = encoding === "proto";
  call.header.set("content-type", isBinary ? "application/proto" : "application/json");
  call.header.delete("content-length");
  call.header.set("content-encoding", query.get("compression") ?? "identity");

  async function* message() {
    if (!isBinary && encoding !== "json") throw malformed("The query's encoding must be json or proto.");
    yield decoded(query.get("message") ?? "", query.get("base64") === "1");
  }
  return { method: "POST", body: fromBody(call.header, message(), reading) };
}

function decoded(message: string, isBase64: boolean): Uint8Array {
  if (!isBase64) return new TextEncoder().encode(message);
  try {
    return base64Decode(message);
  } catch {
    throw malformed("The query's message must be base64, as its base64=1 says.");
  }
}

/** The chunks, until all of them together have taken too long. */
async function* timely(chunks: AsyncIterator<Uint8Array>, ms: number | undefined): AsyncIterable<Uint8Array> {
  let isLate = false;
  let giveUp: ((reason: ConnectError) => void) | undefined;
  const stop = (limitMs: number) => {
    isLate = true;
    giveUp?.(tooSlow(limitMs));
  };
  const timer = ms === undefined ? undefined : setTimeout(stop, ms, ms);
  try {
    for (;;) {
      if (isLate) throw tooSlow(ms ?? 0);
      const { done, value } = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        giveUp = reject;
        // Node calls it ECONNRESET, which is what a lost Postgres is called too.
        chunks.next().then(resolve, () => reject(clientLeft()));
      });
      if (done === true) return;
      yield value;
    }
  } finally {
    clearTimeout(timer);
    // Lets go of the request, whose rest somebody else reads away; not awaited, since that waits for a chunk that is
    // late.
    void chunks.return?.();
  }
}

function fromBody(
  header: Headers,
  chunks: AsyncIterable<Uint8Array>,
  reading: Reading,
): AsyncIterable<Uint8Array> {
  const type = (header.get("content-type") ?? "").toLowerCase();
  const form = type.includes("json") ? "JSON" : "binary";
  if (/^application\/(connect\+|grpc)/.test(type)) return fromEnvelopes(chunks, form, reading);
  const length = Number(header.get("content-length") ?? 0);
  const isCompressed = header.get("content-encoding")?.toLowerCase() === "gzip";
  if (isCompressed) header.delete("content-encoding");
  header.delete("content-length");
  return fromOne(chunks, { length, form, isCompressed }, reading);
}

/** The whole body is one message. */
async function* fromOne(
  chunks: AsyncIterable<Uint8Array>,
  { length, form, isCompressed }: { length: number; form: Form; isCompressed: boolean },
  { limits, hold, prepare }: Reading,
): AsyncIterable<Uint8Array> {
  const intake = createIntake(chunks);
  try {
    do {
      const bytes = Math.max(length, intake.size());
      if (bytes > limits.maxBytes) throw tooLarge(limits.maxBytes);
      hold.set(bytes);
    } while (await intake.more());
    const sent = intake.take(intake.size());
    const message = isCompressed ? await decompress(sent, limits) : sent;
    hold.set(message.length);
    yield await prepare(message, form);
  } finally {
    await intake.end();
  }
}

/** Each message comes in an envelope: its flags in a byte, its length in four, itself. */
async function* fromEnvelopes(
  chunks: AsyncIterable<Uint8Array>,
  form: Form,
  { limits, hold, turn }: Reading,
): AsyncIterable<Uint8Array> {
  const intake = createIntake(chunks);
  try {
    while (await intake.until(5)) {
      const head = intake.take(5);
      const flags = head.readUInt8(0);
      const length = head.readUInt32BE(1);
      if (length > limits.maxBytes) throw tooLarge(limits.maxBytes);
      hold.set(length);
      if (!(await intake.until(length))) throw brokenOff();
      const sent = intake.take(length);
      const isCompressed = (flags & compressedFlag) !== 0;
      const message = isCompressed ? await decompress(sent, limits) : sent;
      hold.set(message.length);
      if ((flags & endFlags) === 0) await checkInTurns(message, form, { limits, turn });
      // Connect decodes it as soon as it has it.
      (await turn(message.length))();
      yield envelopeHead(flags & ~compressedFlag, message.length);
      yield message;
      // What has one message needs it to the end.
      if (limits.arriveMs === undefined) hold.set(0);
    }
  } finally {
    await intake.end();
  }
}

function envelopeHead(flags: number, length: number): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags, 0);
  head.writeUInt32BE(length, 1);
  return head;
}

const brokenOff = () => malformed("The request broke off in the middle of a message.");

/** Gathers chunks in one place: ten million of one byte each would be a gigabyte of objects. */
function createIntake(chunks: AsyncIterable<Uint8Array>) {
  const iterator = chunks[Symbol.asyncIterator]();
  let bytes = Buffer.alloc(0);
  let [from, to] = [0, 0];
  const size = () => to - from;

  function push(chunk: Uint8Array): void {
    if (to + chunk.length > bytes.length) {
      const roomy = Buffer.allocUnsafe(2 * (size() + chunk.length));
      bytes.copy(roomy, 0, from, to);
      [bytes, from, to] = [roomy, 0, size()];
    }
    bytes.set(chunk, to);
    to += chunk.length;
  }

  /** Waits for a chunk; false at the end. */
  async function more(): Promise<boolean> {
    const { done, value } = await iterator.next();
    if (done === true) return false;
    push(value);
    return true;
  }

  return {
    size,
    more,
    /** Waits for so many bytes; false if the end came before the first of them. */
    async until(count: number): Promise<boolean> {
      while (size() < count) {
        if (await more()) continue;
        if (size() > 0) throw brokenOff();
        return false;
      }
      return true;
    },
    take(count: number): Buffer {
      from += count;
      return bytes.subarray(from - count, from);
    },
    end: async () => void (await iterator.return?.()),
  };
}

async function decompress(bytes: Buffer, { maxBytes }: RequestLimits): Promise<Buffer> {
  if (bytes.length === 0) return bytes;
  try {
    return await unzip(bytes, { maxOutputLength: maxBytes });
  } catch (thrown) {
    if (thrown instanceof RangeError) throw tooLarge(maxBytes);
    throw malformed("The request is not the gzip that it says it is.");
  }
}
