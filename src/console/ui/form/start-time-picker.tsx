import { timestampDate } from "@bufbuild/protobuf/wkt";
import { useEffect, useState } from "preact/hooks";
import type { Picked, Reading } from "../../data/load/use-reading.ts";
import css from "../figure/facts.module.css";
import { Field } from "./field.tsx";
import { dayAndTime, fromNow, viewerZone } from "../format/times.ts";
import { wallTime } from "../format/wall-time.ts";
import { ZoneField } from "./zone-field.tsx";
import { Problem } from "./problem.tsx";

const tickMs = 1_000;

function useNow(): Date {
  const [now, setNow] = useState(() => new Date());
  useEffect(() => {
    const timer = setInterval(() => setNow(new Date()), tickMs);
    return () => clearInterval(timer);
  }, []);
  return now;
}

/** What is wrong with the time that is picked, or with its zone, in the service's words. */
function problemsOf(reading: Reading): { zone?: string; time?: string } {
  if (reading.kind !== "refused") return {};
  const { reason, message } = reading.refusal;
  return reason === "invalid_timezone" ? { zone: message } : { time: message };
}

/** Date, time and zone, with the instant that the service takes them for, before anything is sent. */
export function StartTimePicker(props: {
  /** Before the ids of its fields, of which there may be others on the page. */
  id?: string;
  picked: Picked;
  reading: Reading;
  onPick: (picked: Picked) => void;
}) {
  const { id = "start", picked, reading, onPick } = props;
  const problems = problemsOf(reading);
  return (
    <div class="stack">
      <div class="when">
        <Field id={`${id}-date`} label="Date">
          <input
            id={`${id}-date`}
            type="date"
            required
            value={picked.date}
            onInput={(event) => onPick({ ...picked, date: event.currentTarget.value })}
          />
        </Field>
        <Field id={`${id}-time`} label="Time">
          <input
            id={`${id}-time`}
            type="time"
            required
            value={picked.time}
            onInput={(event) => onPick({ ...picked, time: event.currentTarget.value })}
          />
        </Field>
      </div>
      <ZoneField
        id={`${id}-zone`}
        label="Time zone"
        hint="Such as America/New_York. The clocks there decide."
        problem={problems.zone}
        value={picked.zone}
        onInput={(zone) => onPick({ ...picked, zone })}
      />
      <Problem problem={problems.time} />
      <div aria-live="polite">
        {reading.kind === "read" && <Meaning reading={reading} />}
        {reading.kind === "asking" && <p class="quiet">Asking the service what that means …</p>}
      </div>
    </div>
  );
}

function Meaning({ reading }: { reading: Extract<Reading, { kind: "read" }> }) {
  const now = useNow();
  const { at, answer } = reading;
  const again = answer.occursAgainAt && timestampDate(answer.occursAgainAt);
  return (
    <div class={css.meaning} role="group" aria-label="What this time means">
      <dl class={css.facts}>
        <div>
          <dt>There</dt>
          <dd>
            {wallTime(answer.localTime)} <span class="quiet">{answer.timezone}</span>
          </dd>
        </div>
        <div>
          <dt>UTC</dt>
          <dd class="code" data-instant={at.toISOString()}>
            {at.toISOString().replace(".000Z", "Z")}
          </dd>
        </div>
        {answer.timezone !== viewerZone && (
          <div>
            <dt>Here</dt>
            <dd>
              {dayAndTime(at, viewerZone)} <span class="quiet">by this computer’s clock</span>
            </dd>
          </div>
        )}
        <div>
          <dt>That is</dt>
          <dd>{fromNow(at, now)}</dd>
        </div>
      </dl>
      {again !== undefined && (
        <p class={css.remark}>
          This time comes twice that day, as the clocks go back: again at {again.toISOString().slice(11, 16)}{" "}
          UTC. The first one is meant.
        </p>
      )}
    </div>
  );
}
