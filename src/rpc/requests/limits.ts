import { type DescMethod, getOption } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { max_request_bytes } from "../../gen/callsheet/v1/options_pb.ts";
import { checkJson } from "./check-json.ts";
import { countBinary } from "./count-binary.ts";
import { needsKey } from "../gate/gate.ts";
import { smallBytes } from "./large-turns.ts";
import { type Parts, partsOfBinary, partsOfJson } from "./parts.ts";
import { shapeOf } from "./shape.ts";

/** How much one request of a method may be. */
export type RequestLimits = {
  /** Of one message, as it is sent and decompressed. */
  readonly maxBytes: number;
  /** How long a request with one message may take to arrive; undefined for a stream of them. */
  readonly arriveMs: number | undefined;
  /**
   * Throws unless these bytes of one message may be decoded. It rests now and then where they are many; in the end it
   * answers the parts to decode.
   */
  check(bytes: Uint8Array, form: Form): Generator<undefined, Parts>;
};

export type Form = "binary" | "JSON";

const keylessBytes = 4 * 1024;
const usualBytes = 64 * 1024;

const keylessArriveMs = 10_000;
const usualArriveMs = 30_000;
const largeArriveMs = 300_000;

/**
 * The limits that the proto sets for a method, and those of methods that need no key, which may hold next to nothing.
 */
export function requestLimits(method: DescMethod): RequestLimits {
  const shape = shapeOf(method.input);
  const isOpen = !needsKey(method.parent);
  const maxBytes = isOpen ? keylessBytes : getOption(method, max_request_bytes) || usualBytes;
  const isStream = method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming";
  const arriveMs = isOpen ? keylessArriveMs : maxBytes > usualBytes ? largeArriveMs : usualArriveMs;
  return {
    maxBytes,
    arriveMs: isStream ? undefined : arriveMs,
    *check(bytes, form) {
      if (form === "JSON")
        return partsOfJson(method.input, bytes, yield* checkJson(shape, bytes, smallBytes));
      countBinary(shape, bytes);
      return partsOfBinary(method.input, bytes);
    },
  };
}

export const tooLarge = (maxBytes: number) =>
  new ConnectError(
    `The message is larger than it may be: at most ${maxBytes} bytes.`,
    Code.ResourceExhausted,
  );

export const tooSlow = (ms: number) =>
  new ConnectError(`The request took longer than ${ms / 1_000} s to arrive.`, Code.DeadlineExceeded);

/** setTimeout takes no more; a deadline that is further off is none. */
export const longestTimeoutMs = 2 ** 31 - 1;

const millisecondsOf: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1 };

/** How far off a `grpc-timeout` is; NaN if it is none. */
export function grpcTimeoutMs(value: string): number {
  const [, digits = "", unit = ""] = /^(\d{1,8})([HMSmun])$/.exec(value) ?? [];
  return digits === "" ? NaN : Number(digits) * (millisecondsOf[unit] ?? 0);
}
