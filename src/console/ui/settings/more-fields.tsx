import { useState } from "preact/hooks";
import { EndAt } from "./end-at.tsx";
import { Field, describedBy } from "../form/field.tsx";
import css from "./more-fields.module.css";
import { Problem } from "../form/problem.tsx";
import { OutcomeChips } from "./outcome-chips.tsx";
import { type LabelRow, type PauseRow, type Problems, type Settings, firstPause } from "./settings.ts";

type Props = {
  settings: Settings;
  problems: Problems;
  onChange: (changes: Partial<Settings>) => void;
};

/** What most jobs do without: shown when it is asked for, is there, or is wrong. */
export function MoreFields({ settings, problems, onChange }: Props) {
  const { rampMinutes, lateMinutes, pause, endAt, labels } = settings;
  const { rampMinutes: ramp, lateMinutes: late, pause: pausing, endAt: end, labels: named } = problems;
  const isWrong = [ramp, late, pausing, end, named].some((problem) => problem !== undefined);
  const isThere =
    rampMinutes !== "" || lateMinutes !== "" || pause !== undefined || endAt !== "" || labels.length > 0;
  const [isOpen, setOpen] = useState(isThere);
  return (
    <details
      class={`card ${css.more}`}
      open={isOpen || isWrong}
      onToggle={(event) => setOpen(event.currentTarget.open)}
    >
      <summary>
        <h2>Labels, end, and more</h2>
      </summary>
      <div class="stack">
        <Labels labels={labels} problem={problems.labels} onChange={(next) => onChange({ labels: next })} />
        <EndAt endAt={endAt} problem={problems.endAt} onChange={(next) => onChange({ endAt: next })} />
        <Field
          id="lateMinutes"
          label="Minutes that a scheduled start may be late"
          hint="If it could not be made by then, the job fails instead. Empty for as soon as it can be."
          problem={problems.lateMinutes}
        >
          <input
            {...describedBy("lateMinutes", problems.lateMinutes)}
            inputMode="decimal"
            value={lateMinutes}
            onInput={(event) => onChange({ lateMinutes: event.currentTarget.value })}
          />
        </Field>
        <Field
          id="rampMinutes"
          label="Minutes until as many calls go on at once"
          hint="It begins with one call and grows evenly. Empty to begin with all of them."
          problem={problems.rampMinutes}
        >
          <input
            {...describedBy("rampMinutes", problems.rampMinutes)}
            inputMode="decimal"
            value={rampMinutes}
            onInput={(event) => onChange({ rampMinutes: event.currentTarget.value })}
          />
        </Field>
        <Pause pause={pause} problem={problems.pause} onChange={(next) => onChange({ pause: next })} />
      </div>
    </details>
  );
}

function Labels(props: {
  labels: readonly LabelRow[];
  problem: string | undefined;
  onChange: (labels: readonly LabelRow[]) => void;
}) {
  const { labels, problem, onChange } = props;
  const change = (at: number, changes: Partial<LabelRow>) =>
    onChange(labels.map((row, i) => (i === at ? { ...row, ...changes } : row)));
  return (
    <fieldset class="stack">
      <legend>Labels</legend>
      <p class="hint">What the job is found by, such as team: north.</p>
      {labels.map((row, i) => (
        <div class="when" key={i}>
          <label class="field">
            Label
            <input
              value={row.key}
              maxLength={64}
              dir="auto"
              onInput={(event) => change(i, { key: event.currentTarget.value })}
            />
          </label>
          <label class="field">
            Value
            <input
              value={row.value}
              maxLength={200}
              dir="auto"
              onInput={(event) => change(i, { value: event.currentTarget.value })}
            />
          </label>
          <button type="button" onClick={() => onChange(labels.filter((_, at) => at !== i))}>
            Remove the label
          </button>
        </div>
      ))}
      <Problem problem={problem} />
      <div class="actions">
        <button type="button" onClick={() => onChange([...labels, { key: "", value: "" }])}>
          Add a label
        </button>
      </div>
    </fieldset>
  );
}

function Pause(props: {
  pause: PauseRow | undefined;
  problem: string | undefined;
  onChange: (pause: PauseRow | undefined) => void;
}) {
  const { pause, problem, onChange } = props;
  return (
    <fieldset class="stack">
      <legend>Pausing by itself</legend>
      <label class="choice">
        <input
          type="checkbox"
          checked={pause !== undefined}
          onChange={(event) => onChange(event.currentTarget.checked ? firstPause : undefined)}
        />
        <span>
          Pause when many calls fail <span class="hint">Until somebody resumes the job.</span>
        </span>
      </label>
      {pause !== undefined && (
        <>
          <div class="when">
            <label class="field">
              Of the last calls
              <input
                inputMode="numeric"
                value={pause.window}
                onInput={(event) => onChange({ ...pause, window: event.currentTarget.value })}
              />
            </label>
            <label class="field">
              This share, in %
              <input
                inputMode="decimal"
                value={pause.percent}
                onInput={(event) => onChange({ ...pause, percent: event.currentTarget.value })}
              />
            </label>
          </div>
          <fieldset>
            <legend>ended as</legend>
            <OutcomeChips picked={pause.outcomes} onPick={(outcomes) => onChange({ ...pause, outcomes })} />
          </fieldset>
        </>
      )}
      <Problem problem={problem} />
    </fieldset>
  );
}
