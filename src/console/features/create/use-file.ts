import { useEffect, useRef, useState } from "preact/hooks";
import { fieldTitle } from "../../../files/result-titles.ts";
import type { ReadAs } from "../../../files/titles.ts";
import type { Check, Region } from "./file/check.ts";
import { type ChosenFile, openFile } from "./file/chosen-file.ts";
import type { HowToRead, Part } from "./file/worker.ts";

/** What was chosen of how a file is read. */
export type Choice = { readonly columns: readonly ReadAs[]; readonly region: Region };

/** A part of a file as it was chosen to be read, and what that comes to. */
export type Reviewed = Choice & {
  readonly part: Part;
  /** Why the file cannot be read so. */
  readonly problem?: string;
  readonly check: Check | undefined;
};

/** A file on its way from the viewer's disk to a list of contacts. */
export type FileState =
  | { readonly kind: "none" }
  | { readonly kind: "reading"; readonly name: string; readonly rows: number; readonly share: number }
  | { readonly kind: "unreadable"; readonly message: string }
  | {
      readonly kind: "read";
      readonly file: ChosenFile;
      /** Of a workbook with several sheets nothing until one is chosen. */
      readonly reviewed: Reviewed | undefined;
      /** Why the sheet cannot be read. */
      readonly problem?: string;
    };

const sentenceOf = (error: unknown): string =>
  error instanceof Error ? error.message : "The file could not be read.";

/** How many contacts of a file are ready to be sent. */
export const readyIn = (state: FileState): number =>
  state.kind === "read" ? (state.reviewed?.check?.accepted ?? 0) : 0;

/** The titles of a file that the service reads as these columns, of those that it has. */
export const titlesOf = (columns: readonly ReadAs[]): string[] => {
  const titles = columns.flatMap(({ role, key }) => {
    if (role === "none" || role === "empty") return [];
    return [role === "field" ? fieldTitle(key) : role];
  });
  return [...new Set(titles)];
};

export function useFile() {
  const [state, setState] = useState<FileState>({ kind: "none" });
  const open = useRef<ChosenFile>(undefined);
  const region = useRef<Region>("");
  const turn = useRef(0);
  useEffect(() => () => open.current?.close(), []);

  async function choose(file: File): Promise<void> {
    const mine = ++turn.current;
    const show = (next: FileState) => {
      if (mine === turn.current) setState(next);
    };
    open.current?.close();
    show({ kind: "reading", name: file.name, rows: 0, share: 0 });
    // The worker's word on its progress comes another way than its answer, and may come later.
    let isRead = false;
    try {
      const read = await openFile(file, (progress) => {
        if (!isRead) show({ kind: "reading", name: file.name, ...progress });
      });
      isRead = true;
      if (mine !== turn.current) return read.close();
      open.current = read;
      const { part } = read.summary;
      setState({ kind: "read", file: read, reviewed: undefined });
      if (part !== undefined) await judge(read, part, { columns: part.columns, region: region.current });
    } catch (error) {
      show({ kind: "unreadable", message: sentenceOf(error) });
    }
  }

  /** Reads it otherwise; whatever was chosen of its columns is found out again. */
  async function layOut(file: ChosenFile, how: HowToRead): Promise<void> {
    const mine = ++turn.current;
    try {
      const part = await file.layOut(how);
      if (mine === turn.current) await judge(file, part, { columns: part.columns, region: region.current });
    } catch (error) {
      if (mine === turn.current)
        setState({ kind: "read", file, reviewed: undefined, problem: sentenceOf(error) });
    }
  }

  async function judge(file: ChosenFile, part: Part, choice: Choice): Promise<void> {
    region.current = choice.region;
    const reviewed: Reviewed = { part, ...choice, check: undefined };
    setState({ kind: "read", file, reviewed });
    const found = await file.check(choice.columns, choice.region).then(
      (check) => ({ check }),
      (error: unknown) => ({ problem: sentenceOf(error) }),
    );
    setState((now) =>
      now.kind === "read" && now.reviewed === reviewed
        ? { ...now, reviewed: { ...reviewed, ...found } }
        : now,
    );
  }

  return { state, choose, layOut, judge };
}
