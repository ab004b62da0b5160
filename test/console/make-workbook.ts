import { strToU8, zipSync } from "fflate";

/** A cell as a workbook has it: a text, a number with the number of its style, or XML of its own. */
export type Cell = string | readonly [value: number, style: number] | { readonly xml: string };

export type Sheet = {
  readonly rows: readonly (readonly Cell[])[];
  readonly state?: "hidden" | "veryHidden";
  /** The places of rows that a filter has put aside. */
  readonly hiddenRows?: readonly number[];
  readonly hiddenColumns?: readonly number[];
  readonly merged?: readonly string[];
};

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

const head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n';
const main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"';
const office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const packaged = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"';

const letters = (at: number): string =>
  at < 26 ? String.fromCharCode(65 + at) : letters(Math.floor(at / 26) - 1) + letters(at % 26);

/** The number formats by the style that cells refer to; those that are numbers are built in. */
export type Formats = readonly (string | number)[];

function stylesOf(formats: Formats): string {
  const own = formats.flatMap((format, i) =>
    typeof format === "string" ? [`<numFmt numFmtId="${200 + i}" formatCode="${escaped(format)}"/>`] : [],
  );
  const xfs = formats.map(
    (format, i) => `<xf numFmtId="${typeof format === "string" ? 200 + i : format}" fontId="0" fillId="0"/>`,
  );
  // The formats of named styles are others, and come first.
  return `<styleSheet ${main}><numFmts count="${own.length}">${own.join("")}</numFmts><cellStyleXfs count="1"><xf numFmtId="9"/></cellStyleXfs><cellXfs count="${xfs.length}">${xfs.join("")}</cellXfs></styleSheet>`;
}

/** Writes a workbook as spreadsheets do, with its texts in a part of their own. */
export function makeWorkbook(
  sheets: Readonly<Record<string, Sheet>>,
  options: { formats?: Formats; is1904?: boolean; more?: Readonly<Record<string, string>> } = {},
): Buffer {
  const strings: string[] = [];
  const cellOf = (cell: Cell, place: string): string => {
    if (typeof cell === "object" && "xml" in cell) return cell.xml.replace("<c", `<c r="${place}"`);
    if (typeof cell === "object") return `<c r="${place}" s="${cell[1]}"><v>${cell[0]}</v></c>`;
    if (cell === "") return "";
    strings.push(cell);
    return `<c r="${place}" t="s"><v>${strings.length - 1}</v></c>`;
  };
  const rowOf = (cells: readonly Cell[], i: number, hidden: readonly number[] = []): string =>
    `<row r="${i + 1}"${hidden.includes(i + 1) ? ' hidden="1"' : ""}>${cells
      .map((cell, at) => cellOf(cell, `${letters(at)}${i + 1}`))
      .join("")}</row>`;
  const sheetOf = ({ rows, hiddenRows, hiddenColumns = [], merged = [] }: Sheet): string => {
    const columns = hiddenColumns.map((at) => `<col min="${at + 1}" max="${at + 1}" hidden="1"/>`).join("");
    const ranges = merged.map((range) => `<mergeCell ref="${range}"/>`).join("");
    return `${head}<worksheet ${main}>${columns === "" ? "" : `<cols>${columns}</cols>`}<sheetData>${rows
      .map((cells, i) => rowOf(cells, i, hiddenRows))
      .join("")}</sheetData>${ranges === "" ? "" : `<mergeCells>${ranges}</mergeCells>`}</worksheet>`;
  };
  const names = Object.keys(sheets);
  const written = Object.values(sheets).map(sheetOf);
  const list = names.map((name, i) => {
    const state = sheets[name]?.state;
    return `<sheet name="${escaped(name)}" sheetId="${i + 1}"${state === undefined ? "" : ` state="${state}"`} r:id="rId${i + 1}"/>`;
  });
  const references = names.map(
    (_, i) =>
      `<Relationship Id="rId${i + 1}" Type="${office}/worksheet" Target="worksheets/sheet${i + 1}.xml"/>`,
  );
  const parts: Record<string, string> = {
    "[Content_Types].xml": `${head}<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>`,
    "_rels/.rels": `${head}<Relationships ${packaged}><Relationship Id="rId1" Type="${office}/officeDocument" Target="xl/workbook.xml"/></Relationships>`,
    "xl/workbook.xml": `${head}<workbook ${main} xmlns:r="${office}"><workbookPr${options.is1904 === true ? ' date1904="1"' : ""}/><sheets>${list.join("")}</sheets></workbook>`,
    "xl/_rels/workbook.xml.rels": `${head}<Relationships ${packaged}>${references.join("")}<Relationship Id="rIdA" Type="${office}/styles" Target="/xl/styles.xml"/><Relationship Id="rIdB" Type="${office}/sharedStrings" Target="sharedStrings.xml"/></Relationships>`,
    "xl/styles.xml": head + stylesOf(options.formats ?? [0]),
    "xl/sharedStrings.xml": `${head}<sst ${main}>${strings.map((text) => `<si><t xml:space="preserve">${escaped(text)}</t></si>`).join("")}</sst>`,
    ...Object.fromEntries(written.map((xml, i) => [`xl/worksheets/sheet${i + 1}.xml`, xml])),
    ...options.more,
  };
  return Buffer.from(
    zipSync(Object.fromEntries(Object.entries(parts).map(([name, xml]) => [name, strToU8(xml)]))),
  );
}
