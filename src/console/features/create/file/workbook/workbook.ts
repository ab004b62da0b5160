import { BatchJobError } from "../../../../../domain/batch-job-error.ts";
import { badFile, emptyFile } from "../../../../../files/bad-file.ts";
import { readNumberFormats } from "./number-formats.ts";
import { readStrings } from "./shared-strings.ts";
import { type Common, type Sheet, readSheet } from "./sheet.ts";
import { readXml } from "./xml.ts";
import { partName, unpack } from "./zip.ts";

export type { Sheet } from "./sheet.ts";

/** A workbook whose sheets are read when they are asked for. */
export type Workbook = {
  /** The names of the sheets that people see, and that have cells. */
  readonly sheets: readonly string[];
  readonly read: (sheet: string, onProgress?: (progress: { rows: number; share: number }) => void) => Sheet;
};

const largestBytes = 64 * 1024 * 1024;
/** A sheet without cells takes no more. */
const emptySheetBytes = 16 * 1024;
const hasCell = /<(?:\w+:)?c[\s>]/;

const damaged = () =>
  badFile(
    "The workbook could not be read; perhaps it is damaged. Open it, save it as .xlsx or as CSV, and choose that.",
  );

/** What goes wrong below is told as a flaw of the file, and not in the words of what reads it. */
function orDamaged<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof BatchJobError ? error : damaged();
  }
}

/** The folder of a part, and what it refers to from there. */
function resolvePart(from: string, target: string): string {
  if (target.startsWith("/")) return partName(target);
  const folders = from.split("/").slice(0, -1);
  for (const step of target.replaceAll("\\", "/").split("/")) {
    if (step === "..") folders.pop();
    else if (step !== ".") folders.push(step);
  }
  return partName(folders.join("/"));
}

type Reference = { readonly id: string; readonly kind: string; readonly part: string };

const referencesOf = (part: string): string => {
  const slash = part.lastIndexOf("/");
  return `${part.slice(0, slash + 1)}_rels/${part.slice(slash + 1)}.rels`;
};

function readReferences(bytes: Uint8Array, from: string): Reference[] {
  const references: Reference[] = [];
  readXml(bytes, {
    open(name, { Id = "", Type = "", Target = "", TargetMode }) {
      if (name !== "Relationship" || TargetMode === "External") return;
      references.push({ id: Id, kind: Type.split("/").at(-1) ?? "", part: resolvePart(from, Target) });
    },
  });
  return references;
}

/** Reads the list of its sheets; refuses what is no .xlsx in words that say what would have worked. */
export async function openWorkbook(file: Blob): Promise<Workbook> {
  if (file.size > largestBytes)
    throw badFile("The workbook is larger than 64 MB. Save the sheet as CSV, and choose that.");
  const archive = new Uint8Array(await file.arrayBuffer());
  if (archive[0] !== 0x50) {
    throw badFile(
      "The file is a workbook with a password, or one of the old kind (.xls). Save it as .xlsx without a password, or as CSV, and choose that.",
    );
  }
  return orDamaged(() => openArchive(archive));
}

function openArchive(archive: Uint8Array): Workbook {
  const described = unpack(archive, (name) => name.endsWith(".rels") || name.endsWith("workbook.xml"));
  const start = described.get("_rels/.rels");
  const part = start && readReferences(start, "").find(({ kind }) => kind === "officeDocument")?.part;
  const book = part === undefined ? undefined : described.get(part);
  if (part === undefined || book === undefined) {
    throw badFile(
      "The file is a zip archive, and no workbook of the kind .xlsx. Save it as .xlsx or as CSV, and choose that.",
    );
  }
  const referencesBytes = described.get(referencesOf(part));
  const references = referencesBytes === undefined ? [] : readReferences(referencesBytes, part);
  const partOf = (kind: string) => references.find((each) => each.kind === kind)?.part;

  let is1904 = false;
  const named: { name: string; part: string }[] = [];
  readXml(book, {
    open(name, { date1904, state = "visible", id, name: sheetName = "" }) {
      if (name === "workbookPr") is1904 = date1904 === "1" || date1904 === "true";
      if (name !== "sheet" || state !== "visible") return;
      const found = references.find((each) => each.id === id && each.kind === "worksheet");
      if (found !== undefined) named.push({ name: sheetName, part: found.part });
    },
  });
  const parts = new Set(named.map((sheet) => sheet.part));
  const small = unpack(archive, (name, bytes) => parts.has(name) && bytes <= emptySheetBytes);
  const sheets = named.filter((sheet) => {
    const bytes = small.get(sheet.part);
    return bytes === undefined || hasCell.test(new TextDecoder().decode(bytes));
  });
  if (sheets.length === 0) throw emptyFile();

  let common: Common | undefined;
  function readCommon(): Common {
    const [stringsPart, stylesPart] = [partOf("sharedStrings"), partOf("styles")];
    const found = unpack(archive, (name) => name === stringsPart || name === stylesPart);
    const strings = found.get(stringsPart ?? "");
    const styles = found.get(stylesPart ?? "");
    return {
      strings: strings === undefined ? [] : readStrings(strings),
      formats: styles === undefined ? [] : readNumberFormats(styles, { is1904 }),
    };
  }

  return {
    sheets: sheets.map(({ name }) => name),
    read: (name, onProgress) =>
      orDamaged(() => {
        const wanted = sheets.find((sheet) => sheet.name === name)?.part;
        const bytes = unpack(archive, (each) => each === wanted).get(wanted ?? "");
        if (bytes === undefined) throw damaged();
        common ??= readCommon();
        return readSheet(bytes, common, onProgress);
      }),
  };
}
