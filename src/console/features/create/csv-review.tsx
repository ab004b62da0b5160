import type { Check, Columns, Region } from "./csv/check.ts";
import { Field } from "../../ui/field.tsx";
import { Loading, Notice } from "../../ui/notice.tsx";
import { count, counted } from "../../ui/format/numbers.ts";
import type { Csv } from "./use-csv.ts";

const names = new Intl.DisplayNames("en", { type: "region", fallback: "code" });

/** The countries by the names that people look for. */
const regionsByName = (regions: readonly string[]): (readonly [region: string, name: string])[] =>
  regions
    .map((region) => [region, names.of(region) ?? region] as const)
    .toSorted(([, one], [, other]) => one.localeCompare(other, "en"));

export function CsvReview(props: {
  csv: Extract<Csv, { kind: "read" }>;
  onColumns: (columns: Columns, region: Region) => void;
}) {
  const { file, columns, region, check, problem } = props.csv;
  const { titles } = file.summary;
  return (
    <>
      <div class="halves">
        <Field id="phone-column" label="Column of phone numbers">
          <select
            id="phone-column"
            value={columns.phone}
            onChange={(event) =>
              props.onColumns({ ...columns, phone: Number(event.currentTarget.value) }, region)
            }
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
              props.onColumns({ ...columns, name: chosen === -1 ? undefined : chosen }, region);
            }}
          >
            <option value={-1}>None</option>
            <Options titles={titles} />
          </select>
        </Field>
        <Field id="phone-region" label="Numbers without a plus sign are of">
          <select
            id="phone-region"
            value={region}
            onChange={(event) => props.onColumns(columns, event.currentTarget.value)}
          >
            <option value="">No country: they are not sent</option>
            {regionsByName(file.summary.regions).map(([each, name]) => (
              <option key={each} value={each}>
                {name}
              </option>
            ))}
          </select>
        </Field>
      </div>
      {problem !== undefined && <Notice tone="bad">{problem}</Notice>}
      <FirstRows rows={file.summary.firstRows} titles={titles} columns={columns} />
      {check === undefined && problem === undefined && <Loading what="the result of the check" />}
      {check !== undefined && <Result check={check} />}
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
        <Tally
          one="invalid number"
          value={check.counts.invalid_phone_format + check.counts.extension_not_supported}
          tone="bad"
        />
        <Tally one="duplicate number" value={check.counts.duplicate_phone} tone="bad" />
        {check.counts.invalid_fields > 0 && (
          <Tally one="invalid text" value={check.counts.invalid_fields} tone="bad" />
        )}
        {check.counts.invalid_timezone > 0 && (
          <Tally one="invalid time zone" value={check.counts.invalid_timezone} tone="bad" />
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
                    Line
                  </th>
                  <th scope="col">Phone number</th>
                  <th scope="col">Why not</th>
                </tr>
              </thead>
              <tbody>
                {check.bad.map(({ line, phone, field, rule }) => (
                  <tr key={line}>
                    <td class="number">{count(line)}</td>
                    <td>{phone === "" ? <span class="quiet">empty</span> : <bdi>{phone}</bdi>}</td>
                    <td>
                      {field || "The row"} {rule}
                    </td>
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
