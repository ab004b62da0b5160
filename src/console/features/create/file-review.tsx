import { useState } from "preact/hooks";
import { saveFile } from "../../data/service/download.ts";
import { Field } from "../../ui/form/field.tsx";
import { RegionField } from "../../ui/form/region-field.tsx";
import { count, counted } from "../../ui/format/numbers.ts";
import { Loading, Notice } from "../../ui/page/notice.tsx";
import { ColumnTable } from "./column-table.tsx";
import type { Check, Region } from "./file/check.ts";
import type { ChosenFile } from "./file/chosen-file.ts";
import type { HowToRead } from "./file/worker.ts";
import { FirstRows, whyNot } from "./first-rows.tsx";
import preview from "./preview.module.css";
import css from "./tallies.module.css";
import type { Choice, Reviewed } from "./use-file.ts";

/** How a file is read, and what that comes to. */
export function FileReview(props: {
  reviewed: Reviewed;
  file: ChosenFile;
  regions: readonly string[];
  onLayOut: (how: HowToRead) => void;
  onJudge: (choice: Choice) => void;
}) {
  const { part, columns, region, check, problem } = props.reviewed;
  const { sheet, above, hasTitles, withHidden, hiddenRows, unknownResults } = part;
  return (
    <>
      <div>
        <Switch
          isOn={hasTitles}
          onChange={(isOn) => props.onLayOut({ sheet, above, hasTitles: isOn, withHidden })}
          words={above === 0 ? "The first row names the columns" : `Row ${above + 1} names the columns`}
        />
        {hiddenRows > 0 && (
          <Switch
            isOn={withHidden}
            onChange={(isOn) => props.onLayOut({ sheet, above, hasTitles, withHidden: isOn })}
            words={`Take ${counted(hiddenRows, "hidden row")}, too, which a filter may have put aside`}
          />
        )}
      </div>
      <div class="when">
        <Above above={above} onChange={(next) => props.onLayOut({ sheet, above: next, withHidden })} />
        <RegionField
          id="phone-region"
          regions={props.regions}
          region={region}
          none="No country: they are not sent"
          onChange={(next) => props.onJudge({ columns, region: next })}
        />
      </div>
      {region === "" && (check?.counts.invalid_phone_format ?? 0) > 0 && (
        <Notice tone="warning">
          Not every number begins with a plus sign. Choose the country above if they are as people write them
          there.
        </Notice>
      )}
      {unknownResults > 0 && (
        <Notice tone="warning">
          {counted(unknownResults, "cell")} hold formulas whose results are not in the workbook, and are taken
          as empty. Open it in the spreadsheet program, save it, and choose it again.
        </Notice>
      )}
      <ColumnTable
        part={part}
        columns={columns}
        onChange={(next) => props.onJudge({ columns: next, region })}
      />
      <p class="hint">Several columns may be read as the name, such as the first and the last one.</p>
      {problem !== undefined && <Notice tone="bad">{problem}</Notice>}
      {check === undefined && problem === undefined && <Loading what="the result of the check" />}
      {check !== undefined && (
        <>
          <FirstRows check={check} columns={columns} region={region} />
          <Result check={check} region={region} file={props.file} />
        </>
      )}
    </>
  );
}

const aboveChoices = Array.from({ length: 11 }, (_, rows) => rows);

/** Rows above the titles are a heading, which is nobody's. */
const Above = ({ above, onChange }: { above: number; onChange: (above: number) => void }) => (
  <Field id="above" label="Leave out at the top" hint="A heading above the titles, if there is one.">
    <select
      id="above"
      aria-describedby="above-hint"
      value={above}
      onChange={(event) => onChange(Number(event.currentTarget.value))}
    >
      {aboveChoices.map((rows) => (
        <option key={rows} value={rows}>
          {rows === 0 ? "Nothing" : counted(rows, "row")}
        </option>
      ))}
    </select>
  </Field>
);

const Switch = (props: { isOn: boolean; onChange: (isOn: boolean) => void; words: string }) => (
  <label class="choice">
    <input
      type="checkbox"
      checked={props.isOn}
      onChange={(event) => props.onChange(event.currentTarget.checked)}
    />
    <span>{props.words}</span>
  </label>
);

/** How many rows are left out. */
export const leftOut = ({ counts }: Check): number =>
  Object.values(counts).reduce((sum, each) => sum + each, 0);

function Result({ check, region, file }: { check: Check; region: Region; file: ChosenFile }) {
  const found = leftOut(check);
  return (
    <div class="stack" role="status">
      <Tallies check={check} />
      {found > 0 && (
        <details>
          <summary>
            {counted(found, "row")} will not be sent
            {found > check.bad.length ? `; the first ${check.bad.length} of them` : ""}
          </summary>
          <BadRows check={check} region={region} />
        </details>
      )}
      {found > 0 && <SaveRejected file={file} />}
    </div>
  );
}

/** What a file comes to, in figures. */
export const Tallies = ({ check }: { check: Check }) => (
  <ul class={css.tallies} aria-label="What the file comes to">
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
);

const BadRows = ({ check, region }: { check: Check; region: Region }) => (
  <div
    class={`${preview.scroll} ${preview.short}`}
    role="region"
    aria-label="Rows that will not be sent"
    tabIndex={0}
  >
    <table class={preview.preview}>
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
        {check.bad.map((row) => (
          <tr key={row.line}>
            <td class="number">{count(row.line)}</td>
            <td>{row.phone === "" ? <span class="quiet">empty</span> : <bdi>{row.phone}</bdi>}</td>
            <td class={preview.why}>{whyNot(row, region)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  </div>
);

/** The rows that are left out, as a file to mend and to choose again. */
function SaveRejected({ file }: { file: ChosenFile }) {
  const [isFailed, setFailed] = useState(false);
  async function save(): Promise<void> {
    try {
      saveFile(await file.writeRejected(), `${file.name.replace(/\.[^.]*$/, "")}-rejected.csv`);
      setFailed(false);
    } catch (error) {
      reportError(error);
      setFailed(true);
    }
  }
  return (
    <div class="actions">
      <button type="button" onClick={() => void save()}>
        Save these rows as a file
      </button>
      <span class="hint">To mend them, and to add them to the job.</span>
      {isFailed && (
        <p class="problem" role="alert">
          The file could not be made.
        </p>
      )}
    </div>
  );
}

function Tally({ one, value, tone }: { one: string; value: number; tone: "good" | "bad" }) {
  const [, words] = counted(value, one, tone === "good" ? one : `${one}s`).split(/ (.*)/);
  return (
    <li class={value > 0 ? css[tone] : "quiet"}>
      <strong>{count(value)}</strong> {words}
    </li>
  );
}
