import type { Check, Columns } from "./csv/check.ts";
import type { RejectionReason } from "../../../domain/contact.ts";
import { Field } from "../../ui/field.tsx";
import { Loading } from "../../ui/notice.tsx";
import { count, counted } from "../../ui/format/numbers.ts";
import type { Csv } from "./use-csv.ts";

const rejectionWords: Readonly<Record<RejectionReason, string>> = {
  invalid_phone_format: "Not a phone number in international form",
  duplicate_phone: "The same number as in a row before",
  invalid_fields: "A text is too long, there are too many, or one has control characters",
};

export function CsvReview(props: {
  csv: Extract<Csv, { kind: "read" }>;
  onColumns: (columns: Columns) => void;
}) {
  const { file, columns, check } = props.csv;
  const { titles } = file.summary;
  return (
    <>
      <div class="halves">
        <Field id="phone-column" label="Column of phone numbers">
          <select
            id="phone-column"
            value={columns.phone}
            onChange={(event) => props.onColumns({ ...columns, phone: Number(event.currentTarget.value) })}
          >
            <Options titles={titles} />
          </select>
        </Field>
        <Field id="name-column" label="Column of names">
          <select
            id="name-column"
            value={columns.name ?? -1}
            onChange={(event) => {
              const chosen = Number(event.currentTarget.value);
              props.onColumns({ ...columns, name: chosen === -1 ? undefined : chosen });
            }}
          >
            <option value={-1}>None</option>
            <Options titles={titles} />
          </select>
        </Field>
      </div>
      <FirstRows rows={file.summary.firstRows} titles={titles} columns={columns} />
      {check === undefined ? <Loading what="the result of the check" /> : <Result check={check} />}
    </>
  );
}

const Options = ({ titles }: { titles: readonly string[] }) => (
  <>
    {titles.map((title, i) => (
      <option key={i} value={i}>
        {title || `Column ${i + 1}`}
      </option>
    ))}
  </>
);

/** What becomes of a column. */
function roleOf(i: number, title: string, columns: Columns): string {
  if (i === columns.phone) return "phone number";
  if (i === columns.name) return "name";
  return title.trim() === "" ? "left out" : "field";
}

const FirstRows = (props: {
  rows: readonly (readonly string[])[];
  titles: readonly string[];
  columns: Columns;
}) => (
  <div class="scroll" role="region" aria-label="The first rows" tabIndex={0}>
    <table class="preview">
      <thead>
        <tr>
          {props.titles.map((title, i) => (
            <th key={i} scope="col">
              <bdi>{title || `Column ${i + 1}`}</bdi>
              <span class="quiet">{roleOf(i, title, props.columns)}</span>
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {props.rows.map((row, i) => (
          <tr key={i}>
            {props.titles.map((_, column) => (
              <td key={column}>
                <bdi>{row[column] ?? ""}</bdi>
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  </div>
);

function Result({ check }: { check: Check }) {
  const found = Object.entries(check.counts).reduce((sum, [, number]) => sum + number, 0);
  return (
    <div class="stack" role="status">
      <ul class="tallies">
        <Tally one="ready to send" value={check.accepted} tone="good" />
        <Tally one="invalid number" value={check.counts.invalid_phone_format} tone="bad" />
        <Tally one="duplicate number" value={check.counts.duplicate_phone} tone="bad" />
        {check.counts.invalid_fields > 0 && (
          <Tally one="invalid text" value={check.counts.invalid_fields} tone="bad" />
        )}
      </ul>
      {found > 0 && (
        <details>
          <summary>
            {counted(found, "row")} will not be sent
            {found > check.bad.length ? `; the first ${check.bad.length} of them` : ""}
          </summary>
          <div class="scroll short" role="region" aria-label="Rows that will not be sent" tabIndex={0}>
            <table class="preview">
              <thead>
                <tr>
                  <th scope="col" class="number">
                    Row
                  </th>
                  <th scope="col">Phone number</th>
                  <th scope="col">Why not</th>
                </tr>
              </thead>
              <tbody>
                {check.bad.map(({ row, phone, reason }) => (
                  <tr key={row}>
                    <td class="number">{count(row)}</td>
                    <td>{phone === "" ? <span class="quiet">empty</span> : <bdi>{phone}</bdi>}</td>
                    <td>{rejectionWords[reason]}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </details>
      )}
    </div>
  );
}

function Tally({ one, value, tone }: { one: string; value: number; tone: "good" | "bad" }) {
  const [, words] = counted(value, one, tone === "good" ? one : `${one}s`).split(/ (.*)/);
  return (
    <li class={value > 0 ? tone : "quiet"}>
      <strong>{count(value)}</strong> {words}
    </li>
  );
}
