import {
  type RejectionReason,
  isFieldKey,
  isFieldValue,
  isName,
  isPhone,
  largestFieldCount,
} from "../domain/contact.ts";
import { writeLine } from "../postgres/contact-blocks.ts";
import { badFile } from "./csv.ts";

/** Where a file has what. */
type Columns = {
  readonly count: number;
  readonly phone: number;
  readonly name: number | undefined;
  /** The other columns become fields; each with the JSON that comes before its value. */
  readonly fields: readonly { readonly at: number; readonly before: string }[];
};

/** Reads the record that names the columns: `phone` and `name` in any case, each name once. */
export function readColumns(names: readonly string[]): Columns {
  const find = (word: string): number[] =>
    names.flatMap((name, at) => (name.toLowerCase() === word ? [at] : []));
  const [phone, secondPhone] = find("phone");
  const [name, secondName] = find("name");
  if (phone === undefined) {
    const [first = ""] = names;
    const hint = names.length === 1 && /[;\t|]/.test(first) ? ", separated by commas" : "";
    throw badFile(`The file's first line must name its columns${hint}, and one of them must be phone.`);
  }
  const others = names.flatMap((key, at) => (at === phone || at === name ? [] : [{ at, key }]));
  if (others.length > largestFieldCount) {
    throw badFile(
      `The file has ${others.length} columns beside phone and name; at most ${largestFieldCount} become fields.`,
    );
  }
  const keys = new Set(others.map(({ key }) => key));
  if (keys.size < others.length || secondPhone !== undefined || secondName !== undefined) {
    throw badFile("Two columns of the file have the same name; give each its own.");
  }
  const wrong = others.find(({ key }) => !isFieldKey(key));
  if (wrong !== undefined) {
    throw badFile(
      `Column ${wrong.at + 1} of the file needs a name of 1 to 64 characters without control characters.`,
    );
  }
  const fields = others.map(({ at, key }, i) => ({
    at,
    before: `${i === 0 ? "{" : '",'}${JSON.stringify(key)}:"`,
  }));
  return { count: names.length, phone, name, fields };
}

/** A contact: its phone, and its line in a block. */
export type ContactText = { readonly phone: string; readonly line: string };

/** Judges records as `sortOut` does; one that has not a value for each column is rejected as invalid_fields. */
export function createRowReader({ phone: phoneAt, name: nameAt, fields, count }: Columns) {
  const end = fields.length === 0 ? "{}" : '"}';
  return {
    phoneOf: (values: readonly string[]): string => values[phoneAt] ?? "",
    read(values: readonly string[]): ContactText | RejectionReason {
      const phone = values[phoneAt] ?? "";
      if (!isPhone(phone)) return "invalid_phone_format";
      const name = nameAt === undefined ? "" : (values[nameAt] ?? "");
      if (values.length !== count || !isName(name)) return "invalid_fields";
      let json = "";
      for (const { at, before } of fields) {
        const value = values[at] ?? "";
        if (!isFieldValue(value)) return "invalid_fields";
        json += before + inJson(value);
      }
      return { phone, line: writeLine(phone, name, json + end) };
    },
  };
}

/** A value between the quotes of JSON; it holds no control characters, so that these two are all there is to escape. */
const inJson = (value: string): string => (/["\\]/.test(value) ? JSON.stringify(value).slice(1, -1) : value);
