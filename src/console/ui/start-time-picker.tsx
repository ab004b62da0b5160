import { useEffect, useState } from "preact/hooks";
import { type Reading, readStartTime } from "./format/start-time.ts";
import { dayAndTime, fromNow, viewerZone } from "./format/times.ts";
import { Field, describedBy } from "./field.tsx";

/** A start time as it is being picked: wall-clock time in a zone. */
export type Picked = { readonly date: string; readonly time: string; readonly zone: string };

/** What the service is sent: the words, not the instant; the service reads them by its own rules. */
export const asRequest = ({ date, time, zone }: Picked) => ({
  scheduledStartTime: `${date}T${time}`,
  timezone: zone.trim(),
});

const zones = ["UTC", ...Intl.supportedValuesOf("timeZone").filter((zone) => zone !== "UTC")];

const tickMs = 1_000;

function useNow(): Date {
  const [now, setNow] = useState(() => new Date());
  useEffect(() => {
    const timer = setInterval(() => setNow(new Date()), tickMs);
    return () => clearInterval(timer);
  }, []);
  return now;
}

/** Date, time and zone, with the instant that they mean, before anything is sent. */
export function StartTimePicker(props: { picked: Picked; onPick: (picked: Picked) => void }) {
  const { picked, onPick } = props;
  const now = useNow();
  const reading = readStartTime(picked.date, picked.time, picked.zone, now);
  const problemOf = (field: "time" | "zone") =>
    reading.kind === "wrong" && reading.field === field ? reading.problem : undefined;
  return (
    <div class="picker">
      <div class="when">
        <Field id="start-date" label="Date">
          <input
            id="start-date"
            type="date"
            required
            value={picked.date}
            onInput={(event) => onPick({ ...picked, date: event.currentTarget.value })}
          />
        </Field>
        <Field id="start-time" label="Time">
          <input
            id="start-time"
            type="time"
            required
            value={picked.time}
            onInput={(event) => onPick({ ...picked, time: event.currentTarget.value })}
          />
        </Field>
      </div>
      <Field
        id="start-zone"
        label="Time zone"
        hint="An IANA name. The clocks of this zone decide."
        problem={problemOf("zone")}
      >
        <input
          {...describedBy("start-zone", problemOf("zone"))}
          list="zones"
          autocomplete="off"
          spellcheck={false}
          required
          value={picked.zone}
          onInput={(event) => onPick({ ...picked, zone: event.currentTarget.value })}
        />
        <datalist id="zones">
          {zones.map((zone) => (
            <option key={zone} value={zone} />
          ))}
        </datalist>
      </Field>
      {problemOf("time") !== undefined && (
        <p class="problem" role="alert">
          {problemOf("time")}
        </p>
      )}
      <div aria-live="polite">{reading.kind === "instant" && <Meaning reading={reading} now={now} />}</div>
    </div>
  );
}

const Meaning = ({ reading, now }: { reading: Extract<Reading, { kind: "instant" }>; now: Date }) => (
  <div class="meaning">
    <dl class="facts">
      <div>
        <dt>UTC</dt>
        <dd class="code" data-instant={reading.at.toISOString()}>
          {reading.at.toISOString().replace(".000Z", "Z")}
        </dd>
      </div>
      <div>
        <dt>Your time</dt>
        <dd>
          {dayAndTime(reading.at, viewerZone)} <span class="quiet">{viewerZone}</span>
        </dd>
      </div>
      <div>
        <dt>That is</dt>
        <dd>{fromNow(reading.at, now)}</dd>
      </div>
    </dl>
    {reading.remarks.map((remark) => (
      <p class="remark" key={remark}>
        {remark}
      </p>
    ))}
  </div>
);
