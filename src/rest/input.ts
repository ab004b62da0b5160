import { z } from "zod";
import { BatchJobError } from "../domain/batch-job-error.ts";
import type { ContactInput, Flaw, FlawedInput } from "../domain/contacts/contact.ts";

export const refuse = (field: string, message: string, more: Readonly<Record<string, string>> = {}) =>
  new BatchJobError("invalid_argument", message, { field: shown(field), ...more });

/** Refuses that something of this name is there, whatever its value is. */
export const refuseName = (name: string, message: string) => refuse(name, message, { about: "name" });

/** What a caller chose as a name, cut to what an answer shows. */
const shown = (name: string): string => name.slice(0, 64).toWellFormed();

/** Refuses another organization's id. */
export function checkOrganization(given: string, own: number): void {
  if (given === "" || given === String(own)) return;
  throw new BatchJobError(
    "permission_denied",
    "The API key belongs to another organization; give its own organizationId, or none.",
  );
}

function inner(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodNullable
    ? inner(schema.unwrap() as z.ZodType)
    : schema;
}

/** The value that a text means where this is wanted; an empty text is not given. */
function fromText(schema: z.ZodType | undefined, text: string): unknown {
  if (text === "") return undefined;
  const isNumber = schema !== undefined && inner(schema) instanceof z.ZodNumber;
  return isNumber && /^-?\d{1,15}$/.test(text) ? Number(text) : text;
}

/** Throws what the first thing is that is wrong. */
export function parse<S extends z.ZodType>(schema: S, given: unknown): z.output<S> {
  const result = schema.safeParse(given, { reportInput: true });
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  if (issue?.code === "unrecognized_keys") {
    const [key = ""] = issue.keys;
    throw refuseName(key, `The request's field ${JSON.stringify(shown(key))} is unknown; leave it out.`);
  }
  const field = issue?.path.map(String).join(".") ?? "";
  const isMissing = issue?.code === "invalid_type" && issue.path.length === 1 && issue.input === undefined;
  const what = isMissing ? "must be given" : (issue?.message ?? "is not valid");
  const sentence =
    field === ""
      ? "The request must be an object."
      : `The request's field ${shown(field)} is wrong: ${what}.`;
  throw refuse(field, sentence, boundsOf(issue));
}

function boundsOf(issue: z.core.$ZodIssue | undefined): Readonly<Record<string, string>> {
  if (issue?.code === "too_big") return { limit: String(issue.maximum) };
  return issue?.code === "too_small" ? { least: String(issue.minimum) } : {};
}

/** Texts by name, as a query or a form has them, read by a schema. */
export function parseTexts<S extends z.ZodObject>(schema: S, texts: Iterable<[string, string]>): z.output<S> {
  const shape: Readonly<Record<string, unknown>> = schema.shape;
  const values = new Map<string, unknown>();
  for (const [key, text] of texts) {
    if (values.has(key)) {
      throw refuseName(key, `${JSON.stringify(shown(key))} is given twice; give it once.`);
    }
    const wanted = Object.hasOwn(shape, key) ? shape[key] : undefined;
    if (wanted === undefined) {
      const known = Object.keys(shape);
      const instead = known.length === 0 ? "nothing is known here" : `known are ${known.join(", ")}`;
      throw refuseName(key, `${JSON.stringify(shown(key))} is unknown; ${instead}.`);
    }
    values.set(key, fromText(wanted as z.ZodType, text));
  }
  return parse(schema, Object.fromEntries(values));
}

const flawIn = (key: string, rule: string): Flaw => ({
  reason: "invalid_fields",
  field: `fields[${JSON.stringify(shown(key))}]`,
  rule,
});

/** What keeps a value from being a text; a number that JSON has not kept whole is another one than was meant. */
function flawOfValue(key: string, value: unknown): Flaw | undefined {
  if (typeof value === "object") return flawIn(key, "must be a text, a number, true or false");
  if (typeof value !== "number" || Math.abs(value) <= Number.MAX_SAFE_INTEGER) return undefined;
  return flawIn(key, "must be a text, since a number as large as that has not kept all its digits");
}

/** A contact of JSON, whose further keys are its fields. */
export function toContactInput(given: Readonly<Record<string, unknown>>): ContactInput | FlawedInput {
  const texts: [string, string][] = [];
  let flaw: Flaw | undefined;
  for (const [key, value] of Object.entries(given)) {
    if (value === null) continue;
    flaw ??= flawOfValue(key, value);
    if (typeof value !== "object") texts.push([key, String(value)]);
  }
  const { phone = "", name = "", ...fields } = Object.fromEntries(texts);
  return flaw === undefined ? { phone, name, fields } : { phone, flaw };
}

const [quote, backslash, comma, open, openList] = [0x22, 0x5c, 0x2c, 0x7b, 0x5b];

/** More values than any request has that can be taken: 10,000 contacts with all their fields. */
const mostValues = 600_000;

/** JSON, but only of so many values, which are counted while it is bytes: a million empty objects are 3 MiB. */
export function parseJson(bytes: Uint8Array): unknown {
  let values = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === quote) {
      for (at += 1; at < bytes.length && bytes[at] !== quote; at += 1) if (bytes[at] === backslash) at += 1;
    } else if (byte === comma || byte === open || byte === openList) {
      values += 1;
    }
  }
  if (values > mostValues) {
    throw new BatchJobError(
      "too_large",
      `The request has too many values; send at most ${mostValues} in one request.`,
      { field: "", limit: String(mostValues) },
    );
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw refuse("", "The body is not valid JSON; send one JSON object in UTF-8.");
  }
}
