import { useState } from "preact/hooks";
import { Notice } from "../../ui/notice.tsx";
import { PlainProgress } from "../../ui/progress.tsx";
import type { Columns, Region } from "./csv/check.ts";
import type { CsvFile } from "./csv/csv-file.ts";
import { count, counted } from "../../ui/format/numbers.ts";
import "../../ui/styles/create.css";
import { CsvReview } from "./csv-review.tsx";
import type { Csv } from "./use-csv.ts";

/** Takes a CSV file, and shows what is in it before anything is sent. */
export function CsvCard(props: {
  csv: Csv;
  onChoose: (file: File) => void;
  onColumns: (file: CsvFile, columns: Columns, region: Region) => void;
}) {
  const { csv } = props;
  return (
    <section class="card" aria-labelledby="csv-title">
      <h2 id="csv-title">Contacts</h2>
      <DropZone hasFile={csv.kind === "read"} onChoose={props.onChoose} />
      {csv.kind === "reading" && (
        <div role="status" class="stack">
          <p class="quiet">
            Reading <bdi>{csv.name}</bdi>: {counted(csv.rows, "row")} so far
          </p>
          <PlainProgress label="Reading the file" value={Math.round(csv.share * 100)} max={100} />
        </div>
      )}
      {csv.kind === "unreadable" && <Notice tone="bad">{csv.message}</Notice>}
      {csv.kind === "read" && (
        <>
          <p>
            <strong>
              <bdi>{csv.file.name}</bdi>
            </strong>{" "}
            <span class="quiet">
              {counted(csv.file.summary.rowCount, "row")} · {count(csv.file.summary.titles.length)} columns
            </span>
          </p>
          <CsvReview csv={csv} onColumns={(columns, region) => props.onColumns(csv.file, columns, region)} />
        </>
      )}
    </section>
  );
}

function DropZone({ hasFile, onChoose }: { hasFile: boolean; onChoose: (file: File) => void }) {
  const [isOver, setOver] = useState(false);
  return (
    <label
      class={`drop-zone${isOver ? " over" : ""}${hasFile ? " small" : ""}`}
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
      <span class="title">
        {hasFile ? "Drop another file, or choose one" : "Drop a CSV file here, or choose one"}
      </span>
      {!hasFile && (
        <span class="hint">
          One contact to a row, with a column of phone numbers, such as +14155550100 or as they are written in
          one country.
        </span>
      )}
      <input
        type="file"
        accept=".csv,text/csv,text/plain"
        aria-label="CSV file"
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          event.currentTarget.value = "";
          if (file) onChoose(file);
        }}
      />
    </label>
  );
}
