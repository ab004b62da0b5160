import { badFile } from "../../../../../files/bad-file.ts";
import type { FileRow } from "../columns.ts";
import { type Show, digitsOf } from "./number-formats.ts";
import { textOf } from "./shared-strings.ts";
import { type Attributes, readXml } from "./xml.ts";

/** The rows of a sheet that have values, in the words that people see in it. */
export type Sheet = {
  readonly rows: readonly FileRow[];
  /** Rows that are not seen in it, by their place, such as those that a filter hides. */
  readonly hiddenRows: ReadonlySet<number>;
  readonly hiddenColumns: ReadonlySet<number>;
  /** Cells with a formula whose result is not in the workbook. */
  readonly unknownResults: number;
};

const mostColumns = 500;
const mostCells = 10_000_000;

const tooMany = () =>
  badFile(
    `The sheet has more than ${mostColumns} columns, or ten million cells. Take out what is not needed, and choose it again.`,
  );

type Place = { readonly line: number; readonly at: number };

/** The place of `B7`: line 7, column 1. */
function placeOf(reference: string): Place {
  const [, letters = "", digits = ""] = /^\$?([A-Z]{1,3})\$?(\d{1,7})$/i.exec(reference) ?? [];
  const at = [...letters.toUpperCase()].reduce((sum, letter) => sum * 26 + letter.charCodeAt(0) - 64, 0) - 1;
  return { line: Number(digits), at };
}

const isTrue = (text: string | undefined): boolean => text === "1" || text === "true";

type Cell = {
  at: number;
  type: string;
  style: number;
  value: string;
  hasValue: boolean;
  hasFormula: boolean;
};

/** What cells refer to. */
export type Common = { readonly strings: readonly string[]; readonly formats: readonly Show[] };

function shownIn({ type, value, style, hasValue }: Cell, { strings, formats }: Common): string {
  if (!hasValue) return "";
  if (type === "s") return strings[Number(value)] ?? "";
  if (type === "b") return isTrue(value) ? "TRUE" : "FALSE";
  if (type !== "n") return textOf(value);
  const number = Number(value);
  return value.trim() === "" || !Number.isFinite(number) ? value : (formats[style] ?? digitsOf)(number);
}

/** What is being read: how many rows were, and how far that is. */
type OnProgress = (progress: { rows: number; share: number }) => void;

export function readSheet(bytes: Uint8Array, common: Common, onProgress: OnProgress = () => {}): Sheet {
  const rows: { line: number; values: string[] }[] = [];
  const hiddenRows = new Set<number>();
  const hiddenColumns = new Set<number>();
  const merged: string[] = [];
  let unknownResults = 0;
  let cellCount = 0;
  let row = { line: 0, values: new Array<string>() };
  let cell: Cell | undefined;
  let isValue = false;
  let spoken = 0;
  let lastAt = -1;

  function beginCell({ r, t = "n", s = "0" }: Attributes): Cell {
    const at = r === undefined ? lastAt + 1 : placeOf(r).at;
    lastAt = at;
    return { at, type: t, style: Number(s), value: "", hasValue: false, hasFormula: false };
  }

  function endCell(ended: Cell): void {
    // A text that a formula came to may be empty.
    if (ended.hasFormula && ended.value === "" && ended.type !== "str") unknownResults += 1;
    const shown = shownIn(ended, common).trim();
    if (shown === "" || ended.at < 0) return;
    cellCount += 1;
    if (ended.at >= mostColumns || cellCount > mostCells) throw tooMany();
    while (row.values.length < ended.at) row.values.push("");
    row.values[ended.at] = shown;
  }

  function open(name: string, attributes: Attributes): void {
    if (name === "row") {
      row = { line: Number(attributes["r"] ?? row.line + 1), values: [] };
      lastAt = -1;
      if (isTrue(attributes["hidden"])) hiddenRows.add(row.line);
    } else if (name === "c") cell = beginCell(attributes);
    else if (name === "f" && cell !== undefined) cell.hasFormula = true;
    else if (name === "rPh") spoken += 1;
    else if (name === "v" || (name === "t" && spoken === 0)) {
      isValue = true;
      if (cell !== undefined) cell.hasValue = true;
    } else if (name === "col" && isTrue(attributes["hidden"])) {
      const last = Math.min(Number(attributes["max"]), mostColumns);
      for (let at = Number(attributes["min"]); at <= last; at += 1) hiddenColumns.add(at - 1);
    } else if (name === "mergeCell") merged.push(attributes["ref"] ?? "");
  }

  const handlers = {
    open,
    text(piece: string) {
      if (isValue && cell !== undefined) cell.value += piece;
    },
    close(name: string) {
      isValue = false;
      if (name === "rPh") spoken -= 1;
      else if (name === "c" && cell !== undefined) {
        endCell(cell);
        cell = undefined;
      } else if (name === "row" && row.values.length > 0) rows.push(row);
    },
  };
  readXml(bytes, handlers, (share) => onProgress({ rows: rows.length, share }));
  fillDown(rows, merged);
  const width = rows.reduce((widest, { values }) => Math.max(widest, values.length), 0);
  if (rows.length * width > mostCells) throw tooMany();
  for (const { values } of rows) while (values.length < width) values.push("");
  const seen = new Set(rows.map(({ line }) => line));
  const hidden = new Set([...hiddenRows].filter((line) => seen.has(line)));
  return { rows, hiddenRows: hidden, hiddenColumns, unknownResults };
}

/** A cell over several rows is that of each of them which has something else, too. */
function fillDown(rows: readonly { line: number; values: string[] }[], merged: readonly string[]): void {
  const places = new Map(rows.map(({ line }, place) => [line, place]));
  for (const reference of merged) {
    const [from, to] = reference.split(":").map(placeOf);
    const first = from === undefined ? undefined : places.get(from.line);
    if (from === undefined || to === undefined || first === undefined) continue;
    const value = rows[first]?.values[from.at] ?? "";
    if (value === "") continue;
    for (const below of rows.slice(first + 1, first + 1 + to.line - from.line)) {
      if (below.line > to.line) break;
      while (below.values.length < from.at) below.values.push("");
      below.values[from.at] = value;
    }
  }
}
