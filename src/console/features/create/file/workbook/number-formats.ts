import { dateFromSerial, format, getFormatInfo } from "numfmt";
import { readXml } from "./xml.ts";

/** How a number of a cell is shown. */
export type Show = (value: number) => string;

/** The formats that every workbook has, by their number, but for the dates that each computer shows in its own way. */
const builtIn: Readonly<Record<number, string>> = {
  0: "General",
  1: "0",
  2: "0.00",
  3: "#,##0",
  4: "#,##0.00",
  9: "0%",
  10: "0.00%",
  11: "0.00E+00",
  12: "# ?/?",
  13: "# ??/??",
  15: "d-mmm-yy",
  16: "d-mmm",
  17: "mmm-yy",
  18: "h:mm AM/PM",
  19: "h:mm:ss AM/PM",
  20: "h:mm",
  21: "h:mm:ss",
  37: "#,##0 ;(#,##0)",
  38: "#,##0 ;[Red](#,##0)",
  39: "#,##0.00;(#,##0.00)",
  40: "#,##0.00;[Red](#,##0.00)",
  45: "mm:ss",
  46: "[h]:mm:ss",
  47: "mmss.0",
  48: "##0.0E+0",
  49: "@",
};

/** Dates in the way of whoever opens the workbook: nobody can say how they were seen. */
const ownDates: ReadonlySet<number> = new Set([
  14, 22, 27, 28, 29, 30, 31, 36, 50, 51, 52, 53, 54, 55, 56, 57, 58,
]);
const ownDate = /\[\$-F[48]00\]/i;

/** Days between the first day of most workbooks and of those that count from 1904. */
const daysTo1904 = 1_462;

const longestWhole = 1e21;

/** All digits of a number, without separators, and none of the last ones that only computers see. */
export function digitsOf(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < longestWhole) return value.toFixed(0);
  const plain = String(Number(value.toPrecision(15)));
  return plain.includes("e") ? String(value) : plain;
}

const two = (value: number): string => String(value).padStart(2, "0");

/** `2027-01-31`, and the time of day if there is one. */
function isoDate(serial: number): string {
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0] = dateFromSerial(serial) ?? [];
  const date = `${year}-${two(month)}-${two(day)}`;
  return hour === 0 && minute === 0 ? date : `${date} ${two(hour)}:${two(minute)}`;
}

const plainTypes: ReadonlySet<string> = new Set(["general", "text", "scientific", "grouped", "error"]);
const unit = /["$€£¥]/;

/**
 * How this format shows numbers. What is only made easier to read, by exponents or by commas between the thousands, is
 * shown with its digits: it may be a phone number.
 */
function showBy(pattern: string, days: number): Show {
  const info = getFormatInfo(pattern);
  if (plainTypes.has(info.type) && !unit.test(pattern)) return digitsOf;
  const added = info.isDate ? days : 0;
  return (value) => format(pattern, value + added, { locale: "en-US" });
}

function showIn(id: number, pattern: string | undefined, days: number): Show {
  if (ownDates.has(id) || (pattern !== undefined && ownDate.test(pattern))) {
    return (value) => isoDate(value + days);
  }
  const known = pattern ?? builtIn[id] ?? "General";
  let show: Show | undefined;
  return (value) => {
    try {
      show ??= showBy(known, days);
      return show(value).trim();
    } catch {
      // A format that cannot be read hides nothing.
      show = digitsOf;
      return digitsOf(value);
    }
  };
}

/** How the numbers of cells are shown, by the number of their style. */
export function readNumberFormats(bytes: Uint8Array, { is1904 }: { is1904: boolean }): Show[] {
  const patterns = new Map<number, string>();
  const ids: number[] = [];
  let isInCells = false;
  readXml(bytes, {
    open(name, { numFmtId, formatCode }) {
      if (name === "numFmt") patterns.set(Number(numFmtId), formatCode ?? "");
      else if (name === "cellXfs") isInCells = true;
      else if (name === "xf" && isInCells) ids.push(Number(numFmtId ?? 0));
    },
    close(name) {
      if (name === "cellXfs") isInCells = false;
    },
  });
  const days = is1904 ? daysTo1904 : 0;
  return ids.map((id) => showIn(id, patterns.get(id), days));
}
