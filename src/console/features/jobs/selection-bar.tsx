import type { Signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { count, counted } from "../../ui/format/numbers.ts";
import { later } from "../../ui/page/later.tsx";
import type { ListAddress } from "./address.ts";
import { type Counts, countWords, total } from "./counts.ts";
import css from "./jobs.module.css";
import { relist } from "./live-page.ts";
import { type Selection, nothing, selectAlso } from "./selection.ts";

const BulkDialog = later(() => import("./bulk/bulk-dialog.tsx").then((module) => module.BulkDialog));
const MoveDialog = later(() => import("./bulk/move-dialog.tsx").then((module) => module.MoveDialog));

const commands = { resume: "Resume", pause: "Pause", reschedule: "Reschedule", cancel: "Cancel" } as const;

type Open = { readonly command: keyof typeof commands; readonly selection: Selection };

/** What is selected, and what can be done with all of it. */
export function SelectionBar(props: {
  selected: Signal<Selection>;
  seen: readonly string[];
  address: ListAddress;
  counts: Counts;
}) {
  const { selected, seen, address, counts } = props;
  const [open, setOpen] = useState<Open>();
  const matching = counts && total(counts, address);
  const selection = selected.value;
  const isNone = selection !== "all" && selection.size === 0;
  const isPageSelected = selection === "all" || seen.every((id) => selection.has(id));
  // A dialog stays while what it does takes the last job off the list.
  if (seen.length === 0 && isNone && open === undefined) return null;
  return (
    <div class={css.bar} role="group" aria-label="Selected jobs">
      <p role="status">
        {isNone &&
          matching !== undefined &&
          `${countWords(matching)} ${matching.count === 1 ? "job" : "jobs"}`}
        {selection === "all" && `All ${matching ? countWords(matching) : ""} that match are selected`}
        {selection !== "all" && !isNone && `${counted(selection.size, "job")} selected`}
      </p>
      {!isPageSelected && (
        <button type="button" class="plain" onClick={() => selectAlso(selected, seen)}>
          {seen.length === 1 ? "Select this one" : `Select these ${count(seen.length)}`}
        </button>
      )}
      {selection !== "all" && (
        <button type="button" class="plain" onClick={() => (selected.value = "all")}>
          Select all that match
        </button>
      )}
      {!isNone && (
        <>
          {Object.entries(commands).map(([command, word]) => (
            <button
              key={command}
              type="button"
              class={command === "cancel" ? "danger" : ""}
              onClick={() => setOpen({ command: command as Open["command"], selection })}
            >
              {word}
            </button>
          ))}
          <button type="button" class="plain" onClick={() => (selected.value = nothing)}>
            Select none
          </button>
        </>
      )}
      {open !== undefined && <Doing open={open} address={address} onClose={close} />}
    </div>
  );

  function close(): void {
    setOpen(undefined);
    relist();
  }
}

function Doing({ open, address, onClose }: { open: Open; address: ListAddress; onClose: () => void }) {
  const { command, selection } = open;
  if (command !== "reschedule") return <BulkDialog {...{ command, selection, address, onClose }} />;
  return <MoveDialog {...{ selection, address, onClose }} />;
}
