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
  /** The other columns become fields; each with its key as JSON. */
  readonly fields: readonly { readonly at: number; readonly json: string }[];
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
  const fields = others.map(({ at, key }) => ({ at, json: `${JSON.stringify(key)}:` }));
  return { count: names.length, phone, name, fields };
}

/** A contact as text: its phone without the plus, and its line in a block. */
export type ContactText = { readonly digits: string; readonly line: string };

/** Judges records as `sortOut` does; one that has not a value for each column is rejected as invalid_fields. */
export function createRowReader(columns: Columns) {
  const { phone, name, fields, count } = columns;
  return {
    phoneOf: (values: readonly string[]): string => values[phone] ?? "",
    read(values: readonly string[]): ContactText | RejectionReason {
      const phoneText = values[phone] ?? "";
      if (!isPhone(phoneText)) return "invalid_phone_format";
      const nameText = name === undefined ? "" : (values[name] ?? "");
      if (values.length !== count || !isName(nameText)) return "invalid_fields";
      let json = "";
      for (const field of fields) {
        const value = values[field.at] ?? "";
        if (!isFieldValue(value)) return "invalid_fields";
        json += `${json === "" ? "" : ","}${field.json}${toJson(value)}`;
      }
      return { digits: phoneText.slice(1), line: writeLine(phoneText, nameText, `{${json}}`) };
    },
  };
}

/** Values hold no control characters, so that these two are all there is to escape. */
const toJson = (value: string): string => (/["\\]/.test(value) ? JSON.stringify(value) : `"${value}"`);
