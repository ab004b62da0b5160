import type { DayRow, HoursRow } from "./hours.ts";
import { toggled } from "../form/toggled.ts";
import { Problem } from "../form/problem.tsx";

export const weekdays = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"] as const;

const officeHours: HoursRow = { days: [1, 2, 3, 4, 5], start: "09:00", end: "18:00" };

/** When calls may be placed. */
export function Hours(props: {
  hours: readonly HoursRow[];
  problem: string | undefined;
  onChange: (hours: readonly HoursRow[]) => void;
}) {
  const { hours, problem, onChange } = props;
  const change = (at: number, changes: Partial<HoursRow>) =>
    onChange(hours.map((row, i) => (i === at ? { ...row, ...changes } : row)));
  return (
    <fieldset class="stack">
      <legend>Calling hours</legend>
      {hours.length === 0 && <p class="hint">At any time of the day, on every day.</p>}
      {hours.map((row, i) => (
        <fieldset key={i} class="hours">
          <legend class="unseen">Hours {i + 1}</legend>
          <div class="chips checks">
            {weekdays.map((word, day) => (
              <label class="chip" key={word}>
                <input
                  type="checkbox"
                  checked={row.days.includes(day + 1)}
                  onChange={() => change(i, { days: toggled(row.days, day + 1) })}
                />
                {word}
              </label>
            ))}
          </div>
          <div class="when">
            <TimeOfDay label="From" value={row.start} onInput={(start) => change(i, { start })} />
            <TimeOfDay label="To" value={row.end} onInput={(end) => change(i, { end })} />
            <button type="button" onClick={() => onChange(hours.filter((_, at) => at !== i))}>
              Remove
            </button>
          </div>
        </fieldset>
      ))}
      <Problem problem={problem} />
      <div class="actions">
        <button type="button" onClick={() => onChange([...hours, officeHours])}>
          {hours.length === 0 ? "Call only at some hours" : "Add hours"}
        </button>
      </div>
    </fieldset>
  );
}

/** Days on which other hours hold, or on which nobody is called. */
export function Days(props: {
  days: readonly DayRow[];
  problem: string | undefined;
  onChange: (days: readonly DayRow[]) => void;
}) {
  const { days, problem, onChange } = props;
  const change = (at: number, changes: Partial<DayRow>) =>
    onChange(days.map((row, i) => (i === at ? { ...row, ...changes } : row)));
  return (
    <fieldset class="stack">
      <legend>Holidays, and days with other hours</legend>
      {days.map((row, i) => (
        <fieldset key={i} class="hours">
          <legend class="unseen">Day {i + 1}</legend>
          <div class="when">
            <label class="field">
              Date
              <input
                type="date"
                value={row.date}
                onInput={(event) => change(i, { date: event.currentTarget.value })}
              />
            </label>
            <button type="button" onClick={() => onChange(days.filter((_, at) => at !== i))}>
              Remove the day
            </button>
          </div>
          {row.windows.length === 0 && <p class="hint">Nobody is called that day.</p>}
          {row.windows.map((span, at) => {
            const changeSpan = (changes: Partial<typeof span>) =>
              change(i, {
                windows: row.windows.map((each, j) => (j === at ? { ...each, ...changes } : each)),
              });
            return (
              <div class="when" key={at}>
                <TimeOfDay label="From" value={span.start} onInput={(start) => changeSpan({ start })} />
                <TimeOfDay label="To" value={span.end} onInput={(end) => changeSpan({ end })} />
                <button
                  type="button"
                  onClick={() => change(i, { windows: row.windows.filter((_, j) => j !== at) })}
                >
                  Remove
                </button>
              </div>
            );
          })}
          <div class="actions">
            <button
              type="button"
              onClick={() => change(i, { windows: [...row.windows, { start: "09:00", end: "18:00" }] })}
            >
              {row.windows.length === 0 ? "Call at some hours" : "Add hours"}
            </button>
          </div>
        </fieldset>
      ))}
      <Problem problem={problem} />
      <div class="actions">
        <button type="button" onClick={() => onChange([...days, { date: "", windows: [] }])}>
          Add a day
        </button>
      </div>
    </fieldset>
  );
}

const TimeOfDay = (props: { label: string; value: string; onInput: (value: string) => void }) => (
  <label class="field">
    {props.label}
    <input
      value={props.value}
      maxLength={5}
      placeholder="09:00"
      onInput={(event) => props.onInput(event.currentTarget.value)}
    />
  </label>
);
