import { useState } from "preact/hooks";
import { count, counted } from "../../ui/format/numbers.ts";
import { Loading, Notice } from "../../ui/page/notice.tsx";
import { PlainProgress } from "../../ui/figure/progress.tsx";
import type { ChosenFile } from "./file/chosen-file.ts";
import type { HowToRead, Part } from "./file/worker.ts";
import { FileReview } from "./file-review.tsx";
import css from "./file-card.module.css";
import type { Choice, FileState } from "./use-file.ts";

/** Takes a file of contacts, and shows what is in it before anything is sent. */
export function FileCard(props: {
  state: FileState;
  onChoose: (file: File) => void;
  onLayOut: (file: ChosenFile, how: HowToRead) => void;
  onJudge: (file: ChosenFile, part: Part, choice: Choice) => void;
}) {
  const { state } = props;
  return (
    <section class="card" aria-labelledby="file-title">
      <h2 id="file-title">Contacts</h2>
      <DropZone hasFile={state.kind === "read"} onChoose={props.onChoose} />
      {state.kind === "reading" && (
        <div role="status" class="stack">
          <p class="quiet">
            Reading <bdi>{state.name}</bdi>: {counted(state.rows, "row")} so far
          </p>
          <PlainProgress label="Reading the file" value={Math.round(state.share * 100)} max={100} />
        </div>
      )}
      {state.kind === "unreadable" && <Notice tone="bad">{state.message}</Notice>}
      {state.kind === "read" && <Read {...props} state={state} />}
    </section>
  );
}

function Read(props: {
  state: Extract<FileState, { kind: "read" }>;
  onLayOut: (file: ChosenFile, how: HowToRead) => void;
  onJudge: (file: ChosenFile, part: Part, choice: Choice) => void;
}) {
  const { file, reviewed, problem } = props.state;
  const { sheets, regions } = file.summary;
  const [chosen, setChosen] = useState("");
  const sheet = chosen === "" ? (reviewed?.part.sheet ?? "") : chosen;
  const isOpen = reviewed === undefined && problem === undefined;
  return (
    <>
      <p class={css.fileName}>
        <strong>
          <bdi>{file.name}</bdi>
        </strong>{" "}
        {reviewed !== undefined && (
          <span class="quiet">
            {counted(reviewed.part.rowCount, "row")} · {count(reviewed.part.columns.length)} columns
          </span>
        )}
      </p>
      {sheets.length > 1 && (
        <div class="field">
          <label for="sheet">Sheet</label>
          <select
            id="sheet"
            value={sheet}
            onChange={(event) => {
              setChosen(event.currentTarget.value);
              props.onLayOut(file, { sheet: event.currentTarget.value });
            }}
          >
            {sheet === "" && <option value="">Choose the sheet with the contacts</option>}
            {sheets.map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </div>
      )}
      {problem !== undefined && <Notice tone="bad">{problem}</Notice>}
      {isOpen && (sheets.length <= 1 || sheet !== "") && <Loading what="the rows" />}
      {reviewed !== undefined && (
        <FileReview
          reviewed={reviewed}
          file={file}
          regions={regions}
          onLayOut={(how) => props.onLayOut(file, how)}
          onJudge={(choice) => props.onJudge(file, reviewed.part, choice)}
        />
      )}
    </>
  );
}

function DropZone({ hasFile, onChoose }: { hasFile: boolean; onChoose: (file: File) => void }) {
  const [isOver, setOver] = useState(false);
  return (
    <label
      class={`${css.dropZone} ${isOver ? css.over : ""} ${hasFile ? css.small : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        const file = event.dataTransfer?.files[0];
        if (file) onChoose(file);
      }}
    >
      <span class={css.title}>
        {hasFile ? "Drop another file, or choose one" : "Drop a file here, or choose one"}
      </span>
      {!hasFile && (
        <span class="hint">
          An Excel workbook (.xlsx) or a CSV file, with one person to a row and a column of phone numbers.
        </span>
      )}
      <input
        type="file"
        accept=".csv,.tsv,.txt,.xlsx,.xlsm,text/csv,text/plain,application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
        aria-label="File of contacts"
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          event.currentTarget.value = "";
          if (file) onChoose(file);
        }}
      />
    </label>
  );
}
