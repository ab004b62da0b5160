import { type DescField, type DescMessage, getOption, ScalarType } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { field as fieldRules } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import type { ConnectError } from "@connectrpc/connect";
import { BatchJobError } from "../../domain/batch-job-error.ts";
import { toConnectError } from "../errors.ts";

/** A field of a request, as far as its elements are counted before it is decoded. */
export type FieldShape = {
  readonly desc: DescField;
  /** At most so many elements; undefined for a field that is neither list nor map. */
  readonly most: number | undefined;
  /** Of a text, or of each text of a list: at most so many characters; undefined where no rule says. */
  readonly mostCharacters: number | undefined;
  /** Of the field, or of each element of a list or map. */
  readonly message: Shape | undefined;
  /** Of the field, or of each element of a list that is not packed. */
  readonly wireType: WireType;
};

export type Shape = {
  readonly desc: DescMessage;
  readonly byNumber: ReadonlyMap<number, FieldShape>;
  /** By proto name and by JSON name; undefined where the message has a form of its own in JSON, such as a duration. */
  readonly byKey: ReadonlyMap<string, FieldShape> | undefined;
};

/** Where in a request: a field, its element if it has many, and the element that it stands in. */
export type Place = {
  readonly field: string;
  readonly element?: number | string | undefined;
  readonly inside?: Place | undefined;
};

/** A list or map whose rules set no bound, such as a contact's fields, which are judged contact by contact. */
const mostWithoutRule = 100;

/** A request has at most so many fields that the service does not know. */
export const mostUnknown = 100;

/**
 * What a message may hold, by its descriptor and the protovalidate rules `max_items`, `max_pairs` and `max_len` in it.
 */
export function shapeOf(desc: DescMessage, known = new Map<DescMessage, Shape>()): Shape {
  const found = known.get(desc);
  if (found !== undefined) return found;
  const byNumber = new Map<number, FieldShape>();
  const byKey = new Map<string, FieldShape>();
  const isWellKnown = desc.typeName.startsWith("google.protobuf.");
  const shape: Shape = { desc, byNumber, byKey: isWellKnown ? undefined : byKey };
  known.set(desc, shape);
  for (const field of desc.fields) {
    const message =
      field.fieldKind === "map" ? entryOf(desc, field) : field.message && shapeOf(field.message, known);
    const wireType = message ? WireType.LengthDelimited : wireTypeOf(field.scalar);
    const fieldShape: FieldShape = {
      desc: field,
      most: mostOf(field),
      mostCharacters: mostCharactersOf(field),
      message,
      wireType,
    };
    byNumber.set(field.number, fieldShape);
    byKey.set(field.name, fieldShape).set(field.jsonName, fieldShape);
  }
  return shape;
}

/** On the wire a map is a list of messages with a key and a value. */
function entryOf(desc: DescMessage, field: DescField & { fieldKind: "map" }): Shape {
  if (field.mapKind === "message")
    throw new Error(`${String(field)} is a map of messages, whose elements nobody counts`);
  const ofScalar = (scalar: ScalarType | undefined): FieldShape => ({
    desc: field,
    most: undefined,
    mostCharacters: undefined,
    message: undefined,
    wireType: wireTypeOf(scalar),
  });
  const byNumber = new Map([
    [1, ofScalar(field.mapKey)],
    [2, ofScalar(field.scalar)],
  ]);
  return { desc, byNumber, byKey: undefined };
}

/** Of an enum, which has no scalar, too. */
function wireTypeOf(scalar: ScalarType | undefined): WireType {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return WireType.LengthDelimited;
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return WireType.Bit64;
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return WireType.Bit32;
    default:
      return WireType.Varint;
  }
}

function mostOf(field: DescField): number | undefined {
  if (field.fieldKind !== "list" && field.fieldKind !== "map") return undefined;
  const { type } = getOption(field, fieldRules);
  if (type.case === "repeated" && type.value.maxItems > 0n) return Number(type.value.maxItems);
  if (type.case === "map" && type.value.maxPairs > 0n) return Number(type.value.maxPairs);
  return mostWithoutRule;
}

function mostCharactersOf(field: DescField): number | undefined {
  const { type } = getOption(field, fieldRules);
  const { case: kind, value } = type.case === "repeated" ? (type.value.items?.type ?? type) : type;
  return kind === "string" && value.maxLen > 0n ? Number(value.maxLen) : undefined;
}

/** Such as `contacts[17].fields.age`. */
export function pathOf({ field, element, inside }: Place): string {
  const path = `${inside === undefined ? "" : `${pathOf(inside)}.`}${word(field)}`;
  if (element === undefined) return path;
  return typeof element === "number" ? `${path}[${element}]` : `${path}.${word(element)}`;
}

/** What a caller chose as a key is cut, and quoted unless it is a plain word. */
const word = (key: string): string =>
  /^\w{1,64}$/.test(key) ? key : JSON.stringify(key.slice(0, 64).toWellFormed());

export function tooMany(most: number, place: Place): ConnectError {
  const field = pathOf(place);
  const message = `The request's field ${field} has too many elements; send at most ${most} in one request.`;
  return toConnectError(new BatchJobError("too_large", message, { field, limit: String(most) }));
}

/** As the rule itself answers, which would first look at every character of the text. */
export function tooLong(most: number, place: Place): ConnectError {
  const field = pathOf(place);
  const description = `must be at most ${most} characters`;
  const message = `The request's field ${field} is wrong: ${description}.`;
  return toConnectError(new BatchJobError("invalid_argument", message, { field }), [{ field, description }]);
}

export function tooManyUnknown(inside: Place | undefined): ConnectError {
  const field = inside === undefined ? "" : pathOf(inside);
  const message = `The request has more than ${mostUnknown} fields that are not in the API; send it as the proto describes it.`;
  return toConnectError(new BatchJobError("too_large", message, { field, limit: String(mostUnknown) }));
}
