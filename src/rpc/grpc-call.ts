import { fromBinary, toBinary, type DescMessage, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type MethodImplSpec } from "@connectrpc/connect";
import { status, type ServerInterceptingCallInterface } from "@grpc/grpc-js";
import type { CallsInHand } from "./calls-in-hand.ts";
import { deliveryOf } from "./delivery.ts";
import { createGrpcContext, whyCancelled, type GrpcContext } from "./grpc-context.ts";
import type { InvokeMethod } from "./grpc-invoke.ts";
import { toMetadata, toStatus } from "./grpc-metadata.ts";
import { createGrpcWire, type GrpcWire } from "./grpc-wire.ts";
import { asConnectError } from "./last-resort.ts";
import type { ListenerOptions } from "./listener.ts";
import { undecodable } from "./undecodable.ts";

/** What it takes to answer the calls of one method. */
export type GrpcMethod = {
  spec: MethodImplSpec;
  invoke: InvokeMethod;
  gate: ListenerOptions["gate"];
  calls: CallsInHand;
  /** Each breaks off one call that is being answered. */
  cuts: Set<(reason: ConnectError) => void>;
};

/**
 * Answers one call, below the streams of grpc-js: a message is read when somebody asks for it, and written when the one
 * before it has left, so that no client can fill the memory of this side.
 */
export function answerGrpcCall(method: GrpcMethod, call: ServerInterceptingCallInterface): void {
  const wire = createGrpcWire(call);
  let ended: (() => void) | undefined;
  call.start({
    onReceiveMetadata(metadata) {
      const context = createGrpcContext(method.spec.method, call, metadata);
      let isWritten = false;
      const cut = (reason: ConnectError) => {
        context.end(reason);
        wire.cut(reason);
        refuse(call, context, reason);
      };
      const done = method.calls.begin();
      method.cuts.add(cut);
      ended = () => {
        if (!context.ended) cut(whyCancelled(call));
        method.cuts.delete(cut);
        deliveryOf(context.values).end(isWritten);
        done();
      };
      void answer(method, call, wire, context, () => (isWritten = true));
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
  { gate, invoke, spec }: GrpcMethod,
  call: ServerInterceptingCallInterface,
  wire: GrpcWire,
  context: GrpcContext,
  onWritten: () => void,
): Promise<void> {
  const { input, output } = spec.method;
  try {
    await gate(context);
    const response = await invoke(context, decoded(input, wire));
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
      const bytes = encoded(output, response.message);
      const trailer = toMetadata(response.trailer);
      call.sendMetadata(toMetadata(response.header));
      call.sendMessage(bytes, onWritten);
      call.sendStatus({ code: status.OK, details: "", metadata: trailer });
    }
  } catch (thrown) {
    refuse(call, context, thrown);
  } finally {
    context.end(over);
  }
}

async function* decoded(desc: DescMessage, wire: GrpcWire) {
  for (;;) {
    const bytes = await wire.read();
    if (!bytes) return;
    yield decode(desc, bytes);
  }
}

function decode(desc: DescMessage, bytes: Buffer): Message {
  try {
    return fromBinary(desc, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch {
    throw undecodable(desc);
  }
}

function encoded(desc: DescMessage, message: Message): Buffer {
  const { buffer, byteOffset, byteLength } = toBinary(desc, message);
  return Buffer.from(buffer, byteOffset, byteLength);
}

function refuse(call: ServerInterceptingCallInterface, context: GrpcContext, thrown: unknown): void {
  const error = asConnectError(thrown, context.signal);
  try {
    const refusal = toStatus(error, context.responseTrailer);
    const header = toMetadata(context.responseHeader);
    if (Object.keys(header.getMap()).length > 0) call.sendMetadata(header);
    call.sendStatus(refusal);
  } catch {
    call.sendStatus({ code: status.INTERNAL, details: "internal error" });
  }
}
