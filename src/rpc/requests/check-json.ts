import { type DescField, type DescMessage, fromJson, type JsonValue, ScalarType } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type FieldShape, pathOf, type Place, type Shape, tooLong, tooMany } from "./shape.ts";

const refuse = (message: string) => new ConnectError(message, Code.InvalidArgument);

const wrong = (place: Place | undefined, must: string) =>
  refuse(place ? `The request's field ${pathOf(place)} must be ${must}.` : `The request must be ${must}.`);

const [quote, backslash, comma, colon] = [0x22, 0x5c, 0x2c, 0x3a];
const [openBrace, closeBrace, openBracket, closeBracket] = [0x7b, 0x7d, 0x5b, 0x5d];

/** A character takes no more, as two escapes such as `\ud83d`. */
const bytesOfCharacter = 12;

const byteOrderMark = Buffer.from("\ufeff");

/** Where the JSON begins. */
export const beginningOf = (text: Buffer): number => (text.subarray(0, 3).equals(byteOrderMark) ? 3 : 0);

const isBlank = (byte: number | undefined): boolean =>
  byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

/** What numbers, `true`, `false` and `null` are made of. */
const isOfWord = (byte = 0): boolean =>
  (byte >= 0x30 && byte <= 0x39) ||
  ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a) ||
  byte === 0x2b ||
  byte === 0x2d ||
  byte === 0x2e;

type Keys = NonNullable<Shape["byKey"]>;

/** A list of the request itself that is long: where its elements stand, and the commas by which it may be divided. */
export type LongList = {
  readonly key: string;
  readonly from: number;
  readonly to: number;
  readonly commas: readonly number[];
};

/**
 * Throws unless the bytes are JSON of this shape, with no more elements than it may have. What it throws says where
 * that is, and what should be there; never what is there, which may be personal. It makes one value at a time, while
 * whole messages are bounded by nothing but their bytes: five million empty contacts are 16 MiB. After each `stepBytes`
 * of a list it rests; in the end it answers the lists in which it has.
 */
export function* checkJson(
  shape: Shape,
  bytes: Uint8Array,
  stepBytes = Infinity,
): Generator<undefined, LongList[]> {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let position = beginningOf(text);

  const malformed = (missing: string) =>
    refuse(`The request is not valid JSON: ${missing} is missing at byte ${position}.`);

  /** The next byte that is not blank, still to be read. */
  function peek(): number | undefined {
    while (isBlank(text[position])) position += 1;
    return text[position];
  }

  function expect(byte: number): void {
    if (peek() !== byte) throw malformed(String.fromCharCode(byte));
    position += 1;
  }

  /** Answers whether what the text says is what stands there. */
  function skipText(): boolean {
    expect(quote);
    let isPlain = true;
    for (; text[position] !== quote; position += 1) {
      if ((text[position] ?? 0) < 0x20) throw malformed("the end of a text without control characters");
      if (text[position] !== backslash) continue;
      isPlain = false;
      position += 1;
    }
    position += 1;
    return isPlain;
  }

  /** What the bytes from there to here mean. */
  function parse(from: number): JsonValue {
    try {
      return JSON.parse(text.toString("utf8", from, position));
    } catch {
      position = from;
      throw malformed("a value");
    }
  }

  function readKey(): string {
    peek();
    const from = position;
    const key = skipText() ? text.toString("utf8", from + 1, position - 1) : String(parse(from));
    if (!key.isWellFormed()) throw malformed("a key of whole Unicode characters");
    expect(colon);
    return key;
  }

  /** Reads what stands between two brackets. */
  function readEach(open: number, close: number, readOne: (index: number) => void): void {
    expect(open);
    if (peek() !== close) {
      readOne(0);
      for (let index = 1; peek() === comma; index += 1) {
        position += 1;
        readOne(index);
      }
    }
    expect(close);
  }

  function readMessage(desc: DescMessage, byKey: Keys, inside: Place | undefined): void {
    if (peek() !== openBrace) throw wrong(inside, "an object");
    const seen = new Set<FieldShape>();
    readEach(openBrace, closeBrace, () => {
      const [field, place] = readFieldKey(desc, byKey, inside, seen);
      if (!skipNull()) readField(field, place);
    });
  }

  /** The key of a field that the message has, and has not had yet. */
  function readFieldKey(
    desc: DescMessage,
    byKey: Keys,
    inside: Place | undefined,
    seen: Set<FieldShape>,
  ): [FieldShape, Place] {
    const key = readKey();
    const field = byKey.get(key);
    if (field === undefined) throw unknownKey({ element: key, inside }, desc.fields);
    const place = { field: field.desc.name, inside };
    if (seen.has(field)) throw refuse(`The request's field ${pathOf(place)} stands there twice.`);
    seen.add(field);
    return [field, place];
  }

  const longLists: LongList[] = [];

  /** Comes to each of what stands between two brackets, to be read then. Unlike readEach it can rest, and is slower. */
  function* eachOf(open: number, close: number): Generator<number> {
    expect(open);
    if (peek() !== close) {
      yield 0;
      for (let index = 1; peek() === comma; index += 1) {
        position += 1;
        yield index;
      }
    }
    expect(close);
  }

  /** The request itself, as any other message, with rests in its lists. */
  function* readRequest(desc: DescMessage, byKey: Keys): Generator<undefined> {
    if (peek() !== openBrace) throw wrong(undefined, "an object");
    const seen = new Set<FieldShape>();
    for (const _ of eachOf(openBrace, closeBrace)) {
      const [field, place] = readFieldKey(desc, byKey, undefined, seen);
      if (skipNull()) continue;
      if (field.desc.fieldKind === "list") yield* readOwnList(field, place);
      else readField(field, place);
    }
  }

  function* readOwnList(shapeOfField: FieldShape, place: Place): Generator<undefined> {
    const { most = Infinity } = shapeOfField;
    if (peek() !== openBracket) throw wrong(place, "a list");
    const from = position + 1;
    let rested = from;
    const commas: number[] = [];
    for (const index of eachOf(openBracket, closeBracket)) {
      if (index >= most) throw tooMany(most, place);
      readValue(shapeOfField, { field: place.field, element: index });
      if (peek() !== comma || position - rested < stepBytes) continue;
      commas.push(position);
      rested = position;
      yield;
    }
    if (commas.length > 0)
      longLists.push({ key: shapeOfField.desc.jsonName, from, to: position - 1, commas });
  }

  function skipNull(): boolean {
    if (peek() !== 0x6e || text.toString("latin1", position, position + 4) !== "null") return false;
    position += 4;
    return true;
  }

  function readField(shapeOfField: FieldShape, place: Place): void {
    const { desc, most = Infinity } = shapeOfField;
    switch (desc.fieldKind) {
      case "list":
        if (peek() !== openBracket) throw wrong(place, "a list");
        return readEach(openBracket, closeBracket, (index) => {
          if (index >= most) throw tooMany(most, place);
          readValue(shapeOfField, { field: place.field, element: index, inside: place.inside });
        });
      case "map":
        if (peek() !== openBrace) throw wrong(place, "an object");
        return readEach(openBrace, closeBrace, (index) => {
          if (index >= most) throw tooMany(most, place);
          if (skipPlainPair(desc)) return;
          readValue(shapeOfField, { field: place.field, element: readKey(), inside: place.inside });
        });
      default:
        return readValue(shapeOfField, place);
    }
  }

  /** A pair of texts with nothing to look at, as half a million are in a large request; else it is still to be read. */
  function skipPlainPair({ scalar }: DescField): boolean {
    const from = position;
    const isPlainKey = skipText();
    expect(colon);
    if (isPlainKey && scalar === ScalarType.STRING && peek() === quote && skipText()) return true;
    position = from;
    return false;
  }

  function readValue({ desc, message, mostCharacters = Infinity }: FieldShape, place: Place): void {
    if (desc.fieldKind !== "map" && message?.byKey) return readMessage(message.desc, message.byKey, place);
    const isText = peek() === quote;
    const from = position;
    if (isText) {
      const isPlain = skipText();
      if (position - from > bytesOfCharacter * mostCharacters + 2) throw tooLong(mostCharacters, place);
      if (isPlain && desc.scalar === ScalarType.STRING) return;
    } else {
      while (isOfWord(text[position])) position += 1;
    }
    // A list or an object has no such bytes, and is nothing that could be here.
    if (position === from && text[from] !== openBrace && text[from] !== openBracket)
      throw malformed("a value");
    const value = position === from ? undefined : parse(from);
    if (!fits(desc, value)) throw wrong(place, whatFits(desc, value));
  }

  if (shape.byKey) yield* readRequest(shape.desc, shape.byKey);
  if (peek() !== undefined) throw malformed("the end");
  return longLists;
}

/** Whether protobuf takes the value for the field, or for one of its elements. */
function fits(desc: DescField, value: JsonValue | undefined): boolean {
  if (value === undefined || (typeof value === "string" && !value.isWellFormed())) return false;
  const whole = desc.fieldKind === "list" ? [value] : desc.fieldKind === "map" ? { 0: value } : value;
  try {
    fromJson(desc.parent, { [desc.jsonName]: whole });
    return true;
  } catch {
    return false;
  }
}

function whatFits({ enum: values, message, scalar }: DescField, value: JsonValue | undefined): string {
  if (values) return `one of ${values.values.map(({ name }) => name).join(", ")}`;
  if (message) return messageForms[message.name] ?? "a text";
  switch (scalar) {
    case ScalarType.STRING:
      return typeof value === "string" ? "a text of whole Unicode characters" : "a text";
    case ScalarType.BYTES:
      return "a text in base64";
    case ScalarType.BOOL:
      return "true or false";
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return "a number";
    default:
      return "a whole number in its range";
  }
}

const messageForms: Readonly<Record<string, string>> = {
  Duration: 'a duration such as "90s"',
  Timestamp: 'a time such as "2031-01-01T10:00:00Z"',
  FieldMask: 'names as JSON has them, with commas between, such as "leaseLimit,rateRead"',
};

function unknownKey(place: { element: string; inside: Place | undefined }, fields: readonly DescField[]) {
  const path = pathOf({ field: place.element, inside: place.inside });
  const names = fields.map(({ jsonName }) => jsonName).join(", ");
  return refuse(`The request's field ${path} is unknown; known are ${names}.`);
}
