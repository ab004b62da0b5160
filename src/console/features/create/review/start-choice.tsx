import type { Picked, Reading } from "../../../data/load/use-reading.ts";
import { StartTimePicker } from "../../../ui/form/start-time-picker.tsx";

/** When a new job is to start. */
export type Start = "later" | "now" | "scheduled";

const choices: readonly (readonly [Start, string, string])[] = [
  ["later", "Not yet", "It waits until somebody starts or schedules it."],
  ["now", "Now", "Calls begin as soon as the calling hours are open."],
  ["scheduled", "At a time", "The service starts it by itself."],
];

export const StartChoice = (props: {
  start: Start;
  picked: Picked;
  reading: Reading;
  onStart: (start: Start) => void;
  onPick: (picked: Picked) => void;
}) => (
  <section class="card" aria-labelledby="start-title">
    <h2 id="start-title">Start</h2>
    <fieldset>
      <legend class="unseen">When to start</legend>
      {choices.map(([value, word, hint]) => (
        <label class="choice" key={value}>
          <input
            type="radio"
            name="start"
            value={value}
            checked={props.start === value}
            onChange={() => props.onStart(value)}
          />
          <span>
            {word} <span class="hint">{hint}</span>
          </span>
        </label>
      ))}
    </fieldset>
    {props.start === "scheduled" && (
      <StartTimePicker picked={props.picked} reading={props.reading} onPick={props.onPick} />
    )}
  </section>
);
