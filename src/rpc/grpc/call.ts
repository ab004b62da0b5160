import { constants, type ServerHttp2Stream } from "node:http2";
import { toBinary, type DescMessage, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type MethodImplSpec } from "@connectrpc/connect";
import { status, type ServerInterceptingCallInterface } from "@grpc/grpc-js";
import type { BytesInHand } from "../requests/bytes-in-hand.ts";
import type { CallsInHand } from "../calls/calls-in-hand.ts";
import { deliveryOf } from "../calls/delivery.ts";
import { createGrpcContext, whyCancelled, type GrpcContext } from "./context.ts";
import { maybeCallerOf } from "../gate/gate.ts";
import type { InvokeMethod } from "../calls/invoke.ts";
import { toMetadata, toStatus } from "./metadata.ts";
import { type RequestWatch, watchRequest } from "./request.ts";
import { createGrpcWire, type GrpcWire } from "./wire.ts";
import { asConnectError } from "../calls/last-resort.ts";
import type { ListenerOptions } from "../listener.ts";
import type { Refused } from "../gate/refusals.ts";
import { type Turn, decodeInTurns } from "../requests/decode.ts";
import type { LargeTurns } from "../requests/large-turns.ts";
import type { RequestLimits } from "../requests/limits.ts";
import { settledKey } from "../gate/strangers.ts";

/** What it takes to answer the calls of one method. */
export type GrpcMethod = {
  spec: MethodImplSpec;
  invoke: InvokeMethod;
  gate: ListenerOptions["gate"];
  calls: CallsInHand;
  /** Each breaks off one call that is being answered. */
  cuts: Set<(reason: ConnectError) => void>;
  limits: RequestLimits;
  bytesInHand: BytesInHand;
  largeTurns: LargeTurns;
  refused: Refused;
};

/**
 * Answers one call, below the streams of grpc-js: a message is read when somebody asks for it, and written when the one
 * before it has left, so that no client can fill the memory of this side.
 */
export function answerGrpcCall(
  method: GrpcMethod,
  call: ServerInterceptingCallInterface,
  { stream, settled }: { stream: ServerHttp2Stream; settled: () => void },
): void {
  const wire = createGrpcWire(call);
  const refusal = noteRefusal(call);
  let ended: (() => void) | undefined;
  call.start({
    onReceiveMetadata(metadata) {
      const context = createGrpcContext(method.spec.method, call, metadata);
      context.values.set(settledKey, settled);
      const isUnary = method.spec.kind === "unary";
      let isWritten = false;
      const cut = (reason: ConnectError) => {
        context.end(reason);
        wire.cut(reason);
        refuse(method, call, context, reason);
      };
      const hold = method.bytesInHand.hold(
        () => maybeCallerOf({ contextValues: context.values })?.organizationId,
      );
      const watch = watchRequest(stream, { limits: method.limits, hold, cut });
      const done = method.calls.begin();
      method.cuts.add(cut);
      ended = () => {
        if (!context.ended) cut(refusal() ?? whyCancelled(call));
        // Its deadline has come, or its replica is leaving. What is undone now must not arrive later.
        if (isUnary && stream.writableLength > 0) stream.close(constants.NGHTTP2_CANCEL);
        watch.end();
        method.cuts.delete(cut);
        deliveryOf(context.values).end(isWritten);
        done();
      };
      void answer(method, call, wire, watch, context, () => (isWritten = true));
    },
    onReceiveMessage: wire.received,
    onReceiveHalfClose: () => wire.received(undefined),
    // Comes last in every call, also in those that were answered.
    onCancel: () => ended?.(),
  });
}

const over = new ConnectError("the call is over", Code.Canceled);

/** Never rejects: whatever goes wrong is the answer. Tells when a single answer of the handler has been written. */
async function answer(
  method: GrpcMethod,
  call: ServerInterceptingCallInterface,
  wire: GrpcWire,
  watch: RequestWatch,
  context: GrpcContext,
  onWritten: () => void,
): Promise<void> {
  const { gate, invoke, spec, limits } = method;
  const { input, output } = spec.method;
  try {
    await gate(context);
    const organizationId = maybeCallerOf({ contextValues: context.values })?.organizationId;
    const turn = (bytes: number) => method.largeTurns.take(bytes, organizationId);
    const response = await invoke(context, decoded(input, wire, watch, { limits, turn }));
    if (response.stream) {
      // grpc-js says nothing of a deadline while a client does not read, and the write would wait on.
      context.signal.addEventListener("abort", () => wire.cut(context.signal.reason));
      let begun = false;
      for await (const message of response.message) {
        const bytes = encoded(output, message);
        if (!begun) call.sendMetadata(toMetadata(response.header));
        begun = true;
        await wire.write(bytes);
      }
      if (!begun) call.sendMetadata(toMetadata(response.header));
      call.sendStatus({ code: status.OK, details: "", metadata: toMetadata(response.trailer) });
    } else {
      // Its client has given it up, whatever it may still read.
      if (context.ended) throw context.signal.reason;
      const bytes = encoded(output, response.message);
      const trailer = toMetadata(response.trailer);
      call.sendMetadata(toMetadata(response.header));
      call.sendMessage(bytes, onWritten);
      call.sendStatus({ code: status.OK, details: "", metadata: trailer });
    }
  } catch (thrown) {
    refuse(method, call, context, thrown);
  } finally {
    context.end(over);
  }
}

async function* decoded(
  desc: DescMessage,
  wire: GrpcWire,
  watch: RequestWatch,
  { limits, turn }: { limits: RequestLimits; turn: Turn },
) {
  for (;;) {
    const bytes = await wire.read();
    if (!bytes) return watch.complete();
    watch.received(bytes.length);
    yield await decodeInTurns(desc, bytes, "binary", { limits, turn });
    // What has one message needs it to the end.
    if (limits.arriveMs === undefined) watch.consumed();
  }
}

function encoded(desc: DescMessage, message: Message): Buffer {
  const { buffer, byteOffset, byteLength } = toBinary(desc, message);
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** What grpc-js itself refuses of a request, once it has, in the words that it sends. */
function noteRefusal(call: ServerInterceptingCallInterface): () => ConnectError | undefined {
  let refusal: { readonly code: Code; readonly details: string } | undefined;
  const { sendStatus } = call;
  call.sendStatus = (said) => {
    // What cannot be decompressed it calls its own mistake.
    const isGarbled = said.code === status.INTERNAL && said.details === "Failed to decompress message";
    const code = isGarbled ? status.INVALID_ARGUMENT : said.code;
    if (code !== status.OK) refusal ??= { code: code as number, details: said.details ?? "" };
    sendStatus.call(call, { ...said, code });
  };
  // An error is dear to make, and of most calls nobody asks.
  return () => refusal && new ConnectError(refusal.details, refusal.code);
}

function refuse(
  { refused }: GrpcMethod,
  call: ServerInterceptingCallInterface,
  context: GrpcContext,
  thrown: unknown,
): void {
  const error = asConnectError(thrown, context.signal);
  refused(context, error);
  try {
    const refusal = toStatus(error, context.responseTrailer);
    const header = toMetadata(context.responseHeader);
    if (Object.keys(header.getMap()).length > 0) call.sendMetadata(header);
    call.sendStatus(refusal);
  } catch {
    call.sendStatus({ code: status.INTERNAL, details: "internal error" });
  }
}
