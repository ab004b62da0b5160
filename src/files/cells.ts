/**
 * What a spreadsheet would run, or might, at the beginning of a cell; the wide forms are those of Asian keyboards.
 * Behind apostrophes, and apostrophes alone: so that the one that is put before a text can be told from its own.
 */
const guarded = /^'*(?:\s*[=+\-@\uFF1D\uFF0B\uFF0D\uFF20]|[\t\r\n]|$)/;

/**
 * Where a cell begins for a spreadsheet whose separator is the semicolon, as it is in half of Europe, and where
 * something that it would run follows. Quotes within such a cell guard nothing.
 */
const run = String.raw`(?=(?:["']|[^\S\t\r\n])*[=+\-@\uFF1D\uFF0B\uFF0D\uFF20])`;
const inner = new RegExp(`([;\\t\\r\\n])${run}`, "g");
const innerGuarded = new RegExp(`([;\\t\\r\\n])'${run}`, "g");
const hasInner = /[;\t\r\n]/;

/** The cell of a contact that lacks what its column holds. An empty cell is an empty text. */
export const absentCell = "'";

/** A text as a cell that no spreadsheet runs: where one would, an apostrophe stands before it. */
export function toCell(text: string): string {
  const cell = text !== "" && guarded.test(text) ? `'${text}` : text;
  return hasInner.test(cell) ? cell.replace(inner, "$1'") : cell;
}

/** The text of such a cell, or of any other; undefined if there is none. */
export function fromCell(cell: string): string | undefined {
  if (cell === absentCell) return undefined;
  const rest = hasInner.test(cell) ? cell.replace(innerGuarded, "$1") : cell;
  if (rest.charCodeAt(0) !== apostrophe) return rest;
  const text = rest.slice(1);
  return guarded.test(text) ? text : rest;
}

/** A cell that somebody else has written as one that no spreadsheet runs, and that is read as the same. */
export function safeCell(cell: string): string {
  const text = fromCell(cell);
  return text === undefined ? cell : toCell(text);
}

const apostrophe = 0x27;
