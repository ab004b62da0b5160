import { type DescMessage, type Message, mergeFromBinary, mergeFromJsonString } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { type LongList, beginningOf } from "./check-json.ts";
import { smallBytes } from "./large-turns.ts";

/** What a message is made of: each adds its part to what is there. They are many where the message is large. */
export type Parts = Iterable<(message: Message) => void>;

/**
 * Of binary: some fields each, as many as take a moment, or one that is larger. Texts of protobuf that stand one after
 * the other are one message.
 */
export function* partsOfBinary(desc: DescMessage, bytes: Uint8Array): Parts {
  // Fields of bytes are parts of it, and no Buffers.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const merge = (from: number, to: number) => (message: Message) =>
    void mergeFromBinary(desc, message, plain.subarray(from, to), { readUnknownFields: false });
  const reader = new BinaryReader(plain);
  let from = 0;
  while (plain.length - from > smallBytes) {
    while (reader.pos < plain.length && reader.pos - from < smallBytes) {
      const [field, wireType] = reader.tag();
      reader.skip(wireType, field);
    }
    yield merge(from, reader.pos);
    from = reader.pos;
  }
  if (from === 0 || from < plain.length) yield merge(from, plain.length);
}

/** Of JSON: all but the elements of its long lists, and then some of these each. */
export function* partsOfJson(desc: DescMessage, bytes: Uint8Array, longLists: readonly LongList[]): Parts {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const merge = (json: () => string) => (message: Message) => void mergeFromJsonString(desc, message, json());
  const between = (from: number, to: number) => text.toString("utf8", from, to);
  yield merge(() => {
    let [rest, at] = ["", beginningOf(text)];
    for (const { from, to } of longLists) {
      rest += between(at, from);
      at = to;
    }
    return rest + between(at, text.length);
  });
  for (const { key, from, to, commas } of longLists) {
    let first = from;
    for (const end of [...commas, to]) {
      const elements = [first, end] as const;
      yield merge(() => `{"${key}":[${between(...elements)}]}`);
      first = end + 1;
    }
  }
}
