import Papa from "papaparse";
import type { ExportRequest } from "../../src/jobs/export/contact-export.ts";
import type { Parts } from "./parts.ts";

const never = new AbortController().signal;

export const piecesOf = (
  { exportContacts, caller }: Parts,
  batchJobId: string,
  request: Partial<ExportRequest> = {},
  signal = never,
) => exportContacts({ caller, batchJobId, statuses: [], attempts: "last", ...request }, signal);

export async function joined(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

export const fileOf = (parts: Parts, batchJobId: string, request?: Partial<ExportRequest>) =>
  joined(piecesOf(parts, batchJobId, request));

export const cellsOf = (file: Buffer): string[][] =>
  Papa.parse<string[]>(file.toString(), { skipEmptyLines: true }).data;

/** Each row by its titles. */
export function rowsOf(file: Buffer): Record<string, string>[] {
  const [titles = [], ...rows] = cellsOf(file);
  return rows.map((row) => Object.fromEntries(titles.map((title, i) => [title, row[i] ?? ""])));
}
