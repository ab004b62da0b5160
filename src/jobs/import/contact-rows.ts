import {
  type Flaw,
  badName,
  badPhone,
  badValue,
  isFieldValue,
  isName,
  isPhone,
  isSmallEnough,
  largestFieldCount,
  plainPhone,
  tooLarge,
  tooManyFields,
} from "../../domain/contact.ts";
import { writeLine } from "../../postgres/contact-blocks.ts";
import { fromCell } from "../../files/cells.ts";
import type { Columns } from "../../files/titles.ts";

/** A contact: its phone, and its line in a block. */
export type ContactText = { readonly phone: string; readonly line: string };

const badRow = (rule: string): Flaw => ({ reason: "invalid_fields", field: "", rule });

/** Judges records as `sortOut` does; one that has not a value for each column is rejected as invalid_fields. */
export function createRowReader({ phone: phoneAt, name: nameAt, fields, untitled, count }: Columns) {
  // Each with the JSON that comes before its value.
  const columns = fields.map(({ at, key }) => ({ at, key, before: `${JSON.stringify(key)}:"` }));

  function flawInCount(values: readonly string[]): Flaw | undefined {
    if (values.length < count) {
      return badRow(`must have a value for each column; it has ${values.length}, and there are ${count}`);
    }
    const isLeft = (at: number) => (values[at] ?? "") !== "";
    const left = untitled.find(isLeft) ?? values.findIndex((_, at) => at >= count && isLeft(at));
    return left === -1
      ? undefined
      : badRow(`must have values only in columns that have a title; column ${left + 1} has none`);
  }

  return {
    phoneOf: (values: readonly string[]): string => plainPhone(values[phoneAt] ?? ""),
    read(values: readonly string[]): ContactText | Flaw {
      const written = fromCell(values[phoneAt] ?? "") ?? "";
      const isWell = isPhone(written);
      const phone = isWell ? written : plainPhone(written);
      if (!isWell && phone === written) return badPhone(written);
      const flaw = values.length === count && untitled.length === 0 ? undefined : flawInCount(values);
      if (flaw !== undefined) return flaw;
      const name = nameAt === undefined ? "" : (fromCell(values[nameAt] ?? "") ?? "");
      if (!isName(name)) return badName;
      let json = "";
      let fieldCount = 0;
      for (const { at, key, before } of columns) {
        const value = fromCell(values[at] ?? "");
        if (value === undefined) continue;
        if (!isFieldValue(value)) return badValue(key);
        json += `${fieldCount === 0 ? "" : ","}${before}${inJson(value)}"`;
        fieldCount += 1;
      }
      if (fieldCount > largestFieldCount) return tooManyFields;
      const line = writeLine(phone, name, `{${json}}`);
      return isSmallEnough(line) ? { phone, line } : tooLarge;
    },
  };
}

/** A value between the quotes of JSON; it holds no control characters, so that these two are all there is to escape. */
const inJson = (value: string): string => (/["\\]/.test(value) ? JSON.stringify(value).slice(1, -1) : value);
