import {
  type Flaw,
  type ReadPhone,
  badName,
  badTimeZone,
  badValue,
  isFieldValue,
  isName,
  isPhone,
  isSmallEnough,
  largestFieldCount,
  tooLarge,
  tooManyFields,
} from "../domain/contacts/contact.ts";
import { findTimeZone } from "../domain/time/time-zone.ts";
import { fromCell } from "./cells.ts";
import type { Columns } from "./titles.ts";

/** A contact of a file; its fields are JSON. */
export type ContactRow = {
  readonly phone: string;
  readonly name: string;
  readonly fields: string;
  /** Its own, if it has one. */
  readonly timezone?: string;
};

const badRow = (rule: string): Flaw => ({ reason: "invalid_fields", field: "", rule });

/** Judges records as `judge` does; one that has not a value for each column is rejected as invalid_fields. */
export function createRowReader(
  { phone: phoneAt, name: nameAt, timezone: zoneAt, fields, untitled, count }: Columns,
  readPhone: ReadPhone,
) {
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

  const writtenIn = (values: readonly string[]): string => fromCell(values[phoneAt] ?? "") ?? "";

  return {
    /** The phone of a record that was rejected: as it is dialed, or else as it was written. */
    phoneOf(values: readonly string[]): string {
      const written = writtenIn(values);
      const phone = readPhone(written);
      return typeof phone === "string" ? phone : written;
    },
    read(values: readonly string[]): ContactRow | Flaw {
      const written = writtenIn(values);
      const phone = isPhone(written) ? written : readPhone(written);
      if (typeof phone !== "string") return phone;
      const flaw = values.length === count && untitled.length === 0 ? undefined : flawInCount(values);
      if (flaw !== undefined) return flaw;
      const name = nameAt === undefined ? "" : (fromCell(values[nameAt] ?? "") ?? "");
      if (!isName(name)) return badName;
      const zone = zoneAt === undefined ? "" : (fromCell(values[zoneAt] ?? "") ?? "");
      const timezone = zone === "" ? undefined : findTimeZone(zone);
      if (zone !== "" && timezone === undefined) return badTimeZone;
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
      const text = `{${json}}`;
      if (!isSmallEnough(phone, name, text)) return tooLarge;
      return timezone === undefined ? { phone, name, fields: text } : { phone, name, fields: text, timezone };
    },
  };
}

/** A value between the quotes of JSON. Of control characters it holds line feeds and tabs alone. */
const inJson = (value: string): string =>
  /["\\\n\t]/.test(value) ? JSON.stringify(value).slice(1, -1) : value;
