import { type DescField, type DescMessage, ScalarType, getOption } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  type FieldRules,
  field as fieldRules,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import type { Random } from "../support/random.ts";
import { type Vocabulary, oddText, personal, wordsFor } from "./words.ts";

/** A value in both its forms: as JSON has it, and as bytes behind the number of its field. */
type Value = { readonly json: unknown; write(writer: BinaryWriter, number: number): void };

/** A whole request message, or nearly. */
export type Made = { readonly json: unknown; readonly binary: Uint8Array };

/** What a message is made with. */
export type Making = {
  readonly words: Vocabulary;
  readonly random: Random;
  /** How often a value is one that its field cannot hold. */
  readonly wrong: number;
  /** The message's place in a stream of them. */
  readonly place: "only" | "first" | "middle" | "last";
  /** Bytes of files in the messages before. */
  fileBytes: number;
  /** Of the largest message, before it is compressed. */
  largestBytes: number;
  /** True once there is something in it that no decoder need take. */
  isOdd: boolean;
};

type Rules = FieldRules["type"];
const noRules: Rules = { case: undefined };

const known = new Map<DescField, Rules>();

/** The rules of a field; reading an option is dear. */
function rulesOf(field: DescField): Rules {
  const rules = known.get(field) ?? getOption(field, fieldRules).type;
  known.set(field, rules);
  return rules;
}

const repeat = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);

/** Lists in lists, or objects in objects. */
function nested(random: Random): unknown {
  let value: unknown = 0;
  for (let depth = random.pick([1, 3, 50, 2_000]); depth > 0; depth -= 1)
    value = random.chance(0.5) ? [value] : { a: value };
  return value;
}

const group = Buffer.from([0x0b]);
/** Bytes that are no field. */
const badPieces: readonly Buffer[] = [
  // A varint of eleven bytes, a length beyond the end, field 0, wire types that there are not, groups.
  Buffer.from([0x08, ...repeat(11, () => 0xff)]),
  Buffer.from([0x12, 0xff, 0xff, 0xff, 0xff, 0x07]),
  Buffer.from([0x00, 0x00]),
  Buffer.from([0x0e]),
  Buffer.from([0x0f, 0x01]),
  Buffer.concat(repeat(200, () => group)),
  Buffer.from([0x0b, 0x0c]),
  Buffer.from([0x0c]),
  Buffer.from([0x80]),
  // Texts that are no UTF-8.
  Buffer.from([0x12, 0x02, 0xc3, 0x28]),
  Buffer.from([0x0a, 0x03, 0xed, 0xa0, 0x80]),
];

/** What no field holds, or none of this type. */
function wrongValue(making: Making): Value {
  const { random, words } = making;
  making.isOdd = true;
  const json = random.pick([
    () => null,
    () => true,
    () => random.pick<unknown>([2_147_483_648, 1.5, 1e300, "9223372036854775808", "1e3", "NaN"]),
    () => oddText(random),
    () => random.pick(words.jobIds),
    () => [],
    () => ({}),
    () => [null],
    () => nested(random),
    () => JSON.parse('{"__proto__":{"isAdmin":true},"constructor":{"prototype":{}}}') as unknown,
  ])();
  return {
    json,
    write(writer, number) {
      if (random.chance(0.5)) writer.raw(random.pick(badPieces));
      else writer.tag(number, WireType.Bit64).fixed64(random.between(0, 1_000));
    },
  };
}

/** Mostly within the bounds and small; now and then at them, beyond them, or as far as the type goes. */
function wholeNumber(field: DescField, rules: Rules, making: Making): Value {
  const { random } = making;
  const isLong = field.scalar !== ScalarType.INT32 && field.scalar !== ScalarType.UINT32;
  let [least, most] = [0, 100];
  if (rules.case === "int32" || rules.case === "int64") {
    const { greaterThan: above, lessThan: below } = rules.value;
    if (above.case === "gte") least = Number(above.value);
    most = below.case === "lte" ? Number(below.value) : least + 100;
  }
  const far = isLong ? [2n ** 63n - 1n, -(2n ** 63n)] : [2_147_483_647, -2_147_483_648];
  const value = BigInt(
    random.chance(0.85)
      ? random.pick([least, random.between(least, Math.min(most, least + 30)), most])
      : random.pick<number | bigint>([least - 1, most + 1, 0, 1, ...far]),
  );
  return integer(field, field.name === "total_bytes" && random.chance(0.9) ? making.fileBytes : value);
}

/** Likewise, and what is no number at all. */
function fraction(field: DescField, rules: Rules, { random }: Making): Value {
  const { greaterThan: above, lessThan: below } =
    rules.case === "double" ? rules.value : { greaterThan: undefined, lessThan: undefined };
  const [least, most] = [above?.value ?? 0, below?.value ?? 100];
  const value = random.chance(0.85)
    ? random.pick([least, least + 0.1, most, 0.5, 1, 2.5])
    : random.pick([least - 1, most + 0.1, -0, 5e-324, 1e300, NaN, Infinity, -Infinity]);
  return {
    json: Number.isFinite(value) ? value : String(value),
    write: (writer, number) =>
      field.scalar === ScalarType.FLOAT
        ? writer.tag(number, WireType.Bit32).float(value)
        : writer.tag(number, WireType.Bit64).double(value),
  };
}

const integer = (field: DescField, value: number | bigint): Value => ({
  json: typeof value === "bigint" && field.scalar === ScalarType.INT64 ? String(value) : Number(value),
  write: (writer, number) => writer.tag(number, WireType.Varint).int64(value),
});

const stringValue = (text: string): Value => ({
  json: text,
  write: (writer, number) => writer.tag(number, WireType.LengthDelimited).string(text.toWellFormed()),
});

/** As long as the rules want it, at their bounds, or one beyond. */
function textOf(rules: Rules, { random }: Making): string {
  const { minLen = 0n, maxLen = 0n } = rules.case === "string" ? rules.value : {};
  const most = maxLen === 0n ? 200 : Number(maxLen);
  if (random.chance(0.8)) return `${personal.name} ${random.between(0, 99)}`.slice(0, most);
  const letters = random.pick(["x", "é", "👩", "字"]);
  return letters.repeat(Math.max(0, random.pick([Number(minLen), Number(minLen) - 1, most, most + 1])));
}

function textValue(field: DescField, rules: Rules, making: Making): Value {
  const { random, words } = making;
  if (random.chance(0.05)) {
    const odd = oddText(random);
    making.isOdd ||= !odd.isWellFormed();
    return stringValue(odd);
  }
  return stringValue(wordsFor(field.name)?.(words, random) ?? textOf(rules, making));
}

function fileBytes(making: Making): Value {
  const { random } = making;
  const row = `${personal.phone}${random.between(1_000, 9_999)},${personal.name}\n`;
  const usual = making.fileBytes === 0 ? [`phone,name\n${row}`, `name;telefon\nx;${row}`] : [row, row, "\n"];
  const odd = ['"', "\0", "\ufeffphone\n", "phone,phone\n1,2\n", row.repeat(2_000), ",".repeat(3_000)];
  const bytes = Buffer.from(random.pick(random.chance(0.85) ? usual : odd));
  making.fileBytes += bytes.length;
  const encoded = bytes.toString("base64");
  const isSpoilt = random.chance(making.wrong);
  making.isOdd ||= isSpoilt;
  return {
    json: isSpoilt ? random.pick(["=", "%%%", "A", `${encoded}=`]) : encoded,
    write: (writer, number) => writer.tag(number, WireType.LengthDelimited).bytes(bytes),
  };
}

/** Seconds and nanoseconds, as both Timestamp and Duration have them. */
const secondsAndNanos =
  (seconds: bigint, nanos: number): Value["write"] =>
  (writer, number) => {
    const inside = new BinaryWriter().tag(1, WireType.Varint).int64(seconds);
    if (nanos !== 0) inside.tag(2, WireType.Varint).int32(nanos);
    writer.tag(number, WireType.LengthDelimited).bytes(inside.finish());
  };

const oddSpans = ["315576000001s", "NaNs", "Infinitys", "1", "", "1.5.5s", "9".repeat(400)];
const oddSeconds = [2n ** 62n, -(2n ** 63n), 253_402_300_800n, 315_576_000_001n];

function duration(rules: Rules, making: Making): Value {
  const { random } = making;
  if (random.chance(making.wrong)) return oddTime(oddSpans, making);
  const { greaterThan: above, lessThan: below } =
    rules.case === "duration" ? rules.value : { greaterThan: undefined, lessThan: undefined };
  const least = above?.case === "gte" ? above.value.seconds : 0n;
  const most = below?.case === "lte" ? below.value.seconds : 3_600n;
  const seconds = random.pick(
    random.chance(0.85) ? [least, least + 1n, most] : [least - 1n, most + 1n, 315_576_000_000n],
  );
  return { json: `${seconds}s`, write: secondsAndNanos(seconds, 0) };
}

function timestamp(making: Making): Value {
  const { random } = making;
  const oddInstants = ["0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "2035-02-30T00:00:00Z", "NaN", ""];
  if (random.chance(making.wrong)) return oddTime(oddInstants, making);
  const json = random.pick(
    random.chance(0.85)
      ? ["2035-03-01T10:00:00Z", "9999-12-31T23:59:59.999Z"]
      : ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"],
  );
  return { json, write: secondsAndNanos(BigInt(Math.floor(Date.parse(json) / 1_000)), 0) };
}

function oddTime(texts: readonly string[], making: Making): Value {
  const { random } = making;
  making.isOdd = true;
  const nanos = random.pick([0, -1, 999_999_999, 2_147_483_647]);
  return { json: random.pick(texts), write: secondsAndNanos(random.pick(oddSeconds), nanos) };
}

/** What no mask names. */
const unmasked: ReadonlySet<string> = new Set([
  "request_id",
  "expected_revision",
  "batch_job_id",
  "update_mask",
]);

/** Names of fields of the message that is beside the mask, or of those that are beside it themselves. */
function fieldMask({ parent }: DescField, making: Making): Value {
  const { random } = making;
  const beside = parent.fields.filter(({ name }) => !unmasked.has(name));
  const ours = beside.filter(({ message }) => message?.typeName.startsWith("callsheet.") === true);
  const maskable = ours.length > 0 ? ours.flatMap(({ message }) => message?.fields ?? []) : beside;
  const isOdd = random.chance(making.wrong);
  making.isOdd ||= isOdd;
  const named = maskable.filter(() => random.chance(0.4));
  const paths = named.map(({ name }) => name);
  const odd = random.pick(["*", "__proto__", "a.b.c", ",", "leaseLimit ", ""]);
  return {
    json: isOdd ? odd : named.map(({ jsonName }) => jsonName).join(","),
    write(writer, number) {
      const inside = new BinaryWriter();
      for (const path of isOdd ? [...paths, odd] : paths)
        inside.tag(1, WireType.LengthDelimited).string(path);
      writer.tag(number, WireType.LengthDelimited).bytes(inside.finish());
    },
  };
}

function messageValue(
  field: DescField,
  desc: DescMessage,
  rules: Rules,
  making: Making,
  depth: number,
): Value {
  switch (desc.typeName) {
    case "google.protobuf.Timestamp":
      return timestamp(making);
    case "google.protobuf.Duration":
      return duration(rules, making);
    case "google.protobuf.FieldMask":
      return fieldMask(field, making);
  }
  const { json, binary } = makeParts(desc, making, depth);
  return {
    json,
    write: (writer, number) => writer.tag(number, WireType.LengthDelimited).bytes(binary),
  };
}

function enumValue({ enum: desc }: DescField, making: Making): Value {
  const { random } = making;
  const values = desc?.values ?? [];
  if (random.chance(0.97)) {
    // The first is the one that says nothing.
    const { name, number } = random.pick(random.chance(0.97) ? values.slice(1) : values);
    const json = random.chance(0.8) ? name : number;
    return { json, write: (writer, at) => writer.tag(at, WireType.Varint).int32(number) };
  }
  making.isOdd = true;
  return {
    json: random.pick<unknown>([99, -1, "NAPPING", "busy"]),
    write: (writer, at) => writer.tag(at, WireType.Varint).int32(random.pick([99, -1])),
  };
}

function single(field: DescField, rules: Rules, making: Making, depth: number): Value {
  const { random } = making;
  if (random.chance(making.wrong)) return wrongValue(making);
  if (field.message) return messageValue(field, field.message, rules, making, depth + 1);
  if (field.enum) return enumValue(field, making);
  switch (field.scalar) {
    case ScalarType.STRING:
      return textValue(field, rules, making);
    case ScalarType.BYTES:
      return fileBytes(making);
    case ScalarType.BOOL: {
      const json = random.chance(0.5);
      return { json, write: (writer, number) => writer.tag(number, WireType.Varint).bool(json) };
    }
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return fraction(field, rules, making);
    default:
      return wholeNumber(field, rules, making);
  }
}

/** Mostly a few; now and then at a limit or beyond it, of what is not inside of a list itself. */
function countOf(rules: Rules, { random }: Making, depth: number): number {
  const { minItems = 0n, maxItems = 0n } = rules.case === "repeated" ? rules.value : {};
  const few = random.between(Number(minItems), 3);
  if (depth > 0 || !random.chance(0.03)) return few;
  const most = Number(maxItems);
  // The longest lists are the dearest.
  if (most > 1_000 && !random.chance(0.1)) return random.between(100, 300);
  return random.pick([Number(minItems) - 1, most, most + 1].filter((count) => count >= 0));
}

function list(field: DescField, rules: Rules, making: Making, depth: number): Value {
  const ofItems = rules.case === "repeated" ? (rules.value.items?.type ?? noRules) : noRules;
  const values = repeat(countOf(rules, making, depth), () => single(field, ofItems, making, depth));
  return {
    json: values.map(({ json }) => json),
    write(writer, number) {
      for (const value of values) value.write(writer, number);
    },
  };
}

function map(making: Making): Value {
  const { random } = making;
  const entries = repeat(random.between(0, 3), () => {
    const key = random.pick(["plan", "__proto__", "constructor", "", `key ${random.between(0, 99_999)}`]);
    const value = random.chance(making.wrong) ? wrongValue(making) : stringValue(textOf(noRules, making));
    return { key, value };
  });
  return {
    // Not assigned: `__proto__` is to be a key like any other.
    json: Object.fromEntries(entries.map(({ key, value }) => [key, value.json])),
    write(writer, number) {
      for (const { key, value } of entries) {
        const entry = new BinaryWriter();
        if (random.chance(0.95)) entry.tag(1, WireType.LengthDelimited).string(key);
        if (random.chance(0.95)) value.write(entry, 2);
        writer.tag(number, WireType.LengthDelimited).bytes(entry.finish());
      }
    },
  };
}

function valueOf(field: DescField, making: Making, depth: number): Value {
  const rules = rulesOf(field);
  if (making.random.chance(making.wrong / 2)) return wrongValue(making);
  if (field.fieldKind === "list") return list(field, rules, making, depth);
  if (field.fieldKind === "map") return map(making);
  return single(field, rules, making, depth);
}

/** What is refused when it is not there. */
function isNeeded(field: DescField): boolean {
  const rules = rulesOf(field);
  switch (rules.case) {
    case "string":
      return rules.value.minLen > 0n;
    case "repeated":
      return rules.value.minItems > 0n;
    case "enum":
      return rules.value.notIn.includes(0);
    default:
      return false;
  }
}

/** A revision that is expected is nearly always another one by then. */
const seldom = new Set(["expected_revision"]);

function isGiven(field: DescField, random: Random): boolean {
  if (seldom.has(field.name)) return random.chance(0.1);
  return random.chance(isNeeded(field) ? 0.98 : 0.65);
}

/** One of the fields that exclude each other: of a stream's messages the first of them comes first, the last last. */
function chosen(fields: readonly DescField[], making: Making): readonly DescField[] {
  const { random, place } = making;
  if (random.chance(making.wrong)) {
    // JSON that has two of them is no message.
    making.isOdd = true;
    return fields;
  }
  if (place === "only" || random.chance(0.05)) return [random.pick(fields)];
  const at = { first: 0, middle: Math.min(1, fields.length - 1), last: fields.length - 1 }[place];
  return fields.slice(at, at + 1);
}

function fieldsOf(desc: DescMessage, making: Making): readonly DescField[] {
  const alone = desc.fields.filter((field) => !field.oneof && isGiven(field, making.random));
  return [...alone, ...desc.oneofs.flatMap(({ fields }) => chosen(fields, making))];
}

function makeParts(desc: DescMessage, making: Making, depth: number): Made {
  const { random } = making;
  const writer = new BinaryWriter();
  const entries: [string, unknown][] = [];
  for (const field of fieldsOf(desc, making)) {
    const value = valueOf(field, making, depth);
    const isMisspelt = random.chance(making.wrong / 2);
    making.isOdd ||= isMisspelt;
    const name = random.chance(0.9) ? field.jsonName : field.name;
    entries.push([isMisspelt ? name.toUpperCase() : name, value.json]);
    // Of a field that is given twice the last one counts, and messages are merged.
    const times = random.chance(making.wrong) ? 2 : 1;
    for (let time = 0; time < times; time += 1) value.write(writer, field.number);
  }
  if (random.chance(making.wrong / 2)) {
    making.isOdd = true;
    entries.push([
      random.pick(["__proto__", "organizationId", "toString", "", "\0"]),
      wrongValue(making).json,
    ]);
    writer.tag(random.pick([99, 19_000, 536_870_911]), WireType.LengthDelimited).string("unknown");
  }
  return { json: Object.fromEntries(entries), binary: writer.finish() };
}

/** A message of this type, in both forms. */
export const makeMessage = (desc: DescMessage, making: Making): Made => makeParts(desc, making, 0);

/** The same bytes but for one. */
function flipped(bytes: Buffer, random: Random): Buffer {
  const changed = Buffer.from(bytes);
  if (changed.length > 0) changed[random.between(0, changed.length - 1)] = random.between(0, 255);
  return changed;
}

const cut = (bytes: Buffer, random: Random): Buffer => bytes.subarray(0, random.between(0, bytes.length));

function spoiltJson(whole: string, random: Random): Buffer {
  return random.pick([
    () => cut(Buffer.from(whole), random),
    () => Buffer.from(whole + whole),
    () => Buffer.from(whole.replace("{", () => '{"requestId":"a","requestId":"b",')),
    () => Buffer.from(`\ufeff${whole}`),
    () => Buffer.from(whole, "utf16le"),
    () => flipped(Buffer.from(whole), random),
    () => Buffer.from(`{"contacts":${"[".repeat(5_000)}`),
    () => Buffer.from(whole.replaceAll('"', () => random.pick(['"', "'", '\\"']))),
    () => Buffer.from(JSON.stringify(nested(random))),
  ])();
}

function spoiltBinary(whole: Buffer, random: Random): Buffer {
  return random.pick([
    () => cut(whole, random),
    () => flipped(whole, random),
    () => Buffer.concat([whole, whole]),
    () => Buffer.concat([whole, random.pick(badPieces)]),
    () => Buffer.from(repeat(random.between(0, 300), () => random.between(0, 255))),
  ])();
}

export type Form = "json" | "proto";

/** The message as it is sent: mostly as it is, sometimes with its bytes spoilt. */
export function bytesOf({ json, binary }: Made, form: Form, making: Making): Buffer {
  const { random } = making;
  const isSpoilt = making.wrong > 0 && random.chance(0.15);
  making.isOdd ||= isSpoilt;
  if (form === "json") {
    const whole = JSON.stringify(json);
    return isSpoilt ? spoiltJson(whole, random) : Buffer.from(whole);
  }
  const whole = Buffer.from(binary);
  return isSpoilt ? spoiltBinary(whole, random) : whole;
}
