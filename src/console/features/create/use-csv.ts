import { useEffect, useRef, useState } from "preact/hooks";
import type { Check, Columns, Region } from "./csv/check.ts";
import { type CsvFile, openCsv } from "./csv/csv-file.ts";

/** A file on its way from the viewer's disk to a list of contacts. */
export type Csv =
  | { readonly kind: "none" }
  | { readonly kind: "reading"; readonly name: string; readonly rows: number; readonly share: number }
  | { readonly kind: "unreadable"; readonly message: string }
  | {
      readonly kind: "read";
      readonly file: CsvFile;
      readonly columns: Columns;
      readonly region: Region;
      /** Why the file cannot be read with these columns. */
      readonly problem?: string;
      readonly check: Check | undefined;
    };

export function useCsv() {
  const [csv, setCsv] = useState<Csv>({ kind: "none" });
  const open = useRef<CsvFile>(undefined);
  const turn = useRef(0);
  useEffect(() => () => open.current?.close(), []);

  async function choose(file: File): Promise<void> {
    const mine = ++turn.current;
    const show = (next: Csv) => {
      if (mine === turn.current) setCsv(next);
    };
    open.current?.close();
    show({ kind: "reading", name: file.name, rows: 0, share: 0 });
    // The worker's word on its progress comes another way than its answer, and may come later.
    let isRead = false;
    try {
      const read = await openCsv(file, (progress) => {
        if (!isRead) show({ kind: "reading", name: file.name, ...progress });
      });
      isRead = true;
      if (mine !== turn.current) return read.close();
      open.current = read;
      await judge(read, read.summary.columns, "");
    } catch (error) {
      show({
        kind: "unreadable",
        message: error instanceof Error ? error.message : "The file could not be read.",
      });
    }
  }

  async function judge(file: CsvFile, columns: Columns, region: Region): Promise<void> {
    setCsv({ kind: "read", file, columns, region, check: undefined });
    const found = await file.check(columns, region).then(
      (check) => ({ check }),
      (error: unknown) => ({ problem: error instanceof Error ? error.message : String(error) }),
    );
    setCsv((now) =>
      now.kind === "read" && now.file === file && now.columns === columns && now.region === region
        ? { ...now, ...found }
        : now,
    );
  }

  return { csv, choose, judge };
}
