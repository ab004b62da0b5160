/**
 * What a spreadsheet would run, or might, at the beginning of a cell; the wide forms are those of Asian keyboards. Behind
 * apostrophes, and apostrophes alone: so that the one that is put before a text can be told from its own.
 */
const guarded = /^'*(?:\s*[=+\-@\uFF1D\uFF0B\uFF0D\uFF20]|[\t\r\n]|$)/;

/** The cell of a contact that lacks what its column holds. An empty cell is an empty text. */
export const absentCell = "'";

/** A text as a cell that no spreadsheet runs: where one would, an apostrophe stands before it. */
export const toCell = (text: string): string => (text !== "" && guarded.test(text) ? `'${text}` : text);

/** The text of such a cell, or of any other; undefined if there is none. */
export function fromCell(cell: string): string | undefined {
  if (cell.charCodeAt(0) !== apostrophe) return cell;
  if (cell === absentCell) return undefined;
  const text = cell.slice(1);
  return guarded.test(text) ? text : cell;
}

const apostrophe = 0x27;
