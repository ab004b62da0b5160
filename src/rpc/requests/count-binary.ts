import { WireType } from "@bufbuild/protobuf/wire";
import {
  type FieldShape,
  mostUnknown,
  type Place,
  type Shape,
  tooLong,
  tooMany,
  tooManyUnknown,
} from "./shape.ts";
import { undecodable } from "../calls/undecodable.ts";

/** A character takes no more in UTF-8. */
const bytesOfCharacter = 4;

/**
 * Throws unless the bytes are a message of this shape with no more elements, no more unknown fields and no longer
 * texts than it may have. Nothing is made of them: eight million empty contacts are 16 MiB here, and gigabytes once
 * decoded. It is stricter than the decoder, which goes by the fields alone, heeds no wire type and reads on beyond the
 * end of a value: what the two would read in another way is refused, so that nothing can be hidden between them.
 */
export function countBinary(shape: Shape, bytes: Uint8Array): void {
  let position = 0;
  let unknown = 0;
  // Made only where it is thrown: every call comes by here.
  const malformed = () => undecodable(shape.desc);

  function readVarint(end: number): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 70; scale *= 128) {
      const byte = bytes[position];
      if (byte === undefined || position >= end) throw malformed();
      position += 1;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw malformed();
  }

  /** Moves on by so many bytes. */
  function skip(length: number, end: number): void {
    if (length > end - position) throw malformed();
    position += length;
  }

  function readMessage({ byNumber }: Shape, end: number, inside: Place | undefined): void {
    let counts: Map<FieldShape, number> | undefined;
    while (position < end) {
      const tag = readVarint(end);
      if (tag >= 2 ** 32) throw malformed();
      const field = byNumber.get(tag >>> 3);
      if (field === undefined) {
        if ((unknown += 1) > mostUnknown) throw tooManyUnknown(inside);
        readValue(tag & 7, end);
      } else if (field.most === undefined) {
        readField(field, tag & 7, end, { field: field.desc.name, inside });
      } else {
        counts ??= new Map();
        const before = counts.get(field) ?? 0;
        const place = { field: field.desc.name, element: before, inside };
        const count = before + readField(field, tag & 7, end, place);
        if (count > field.most) throw tooMany(field.most, { field: field.desc.name, inside });
        counts.set(field, count);
      }
    }
  }

  /** Answers how many elements it was. */
  function readField(field: FieldShape, wireType: WireType, end: number, place: Place): number {
    const isPacked = wireType === WireType.LengthDelimited && wireType !== field.wireType;
    if (isPacked && field.desc.fieldKind === "list") {
      const length = readVarint(end);
      const from = position;
      skip(length, end);
      return countPacked(field.wireType, from, length);
    }
    if (wireType !== field.wireType) throw malformed();
    if (field.message === undefined) {
      const from = position;
      readValue(wireType, end);
      const { mostCharacters = Infinity } = field;
      // A few bytes of these are the length itself.
      if (position - from > bytesOfCharacter * mostCharacters + 5) throw tooLong(mostCharacters, place);
    } else {
      const length = readVarint(end);
      if (length > end - position) throw malformed();
      readMessage(field.message, position + length, place);
    }
    return 1;
  }

  function readValue(wireType: WireType, end: number): void {
    switch (wireType) {
      case WireType.Varint:
        readVarint(end);
        return;
      case WireType.Bit64:
        return skip(8, end);
      case WireType.Bit32:
        return skip(4, end);
      case WireType.LengthDelimited:
        return skip(readVarint(end), end);
      default:
        throw malformed();
    }
  }

  function countPacked(wireType: WireType, from: number, length: number): number {
    if (wireType !== WireType.Varint) {
      const elements = length / (wireType === WireType.Bit64 ? 8 : 4);
      if (!Number.isInteger(elements)) throw malformed();
      return elements;
    }
    // Each varint has one byte below 128, its last.
    let elements = 0;
    for (let at = from; at < position; at += 1) if ((bytes[at] ?? 0) < 128) elements += 1;
    if (length > 0 && (bytes[position - 1] ?? 0) >= 128) throw malformed();
    return elements;
  }

  readMessage(shape, bytes.length, undefined);
}
