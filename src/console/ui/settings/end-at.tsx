import { useEffect, useRef, useState } from "preact/hooks";
import { type Picked, nothingPicked, useReading } from "../../data/load/use-reading.ts";
import { dayAndTime, viewerZone } from "../format/times.ts";
import { StartTimePicker } from "../form/start-time-picker.tsx";
import { Problem } from "../form/problem.tsx";

/** The instant as this computer's clock shows it. */
function pickedOf(endAt: string): Picked {
  const at = new Date(endAt);
  if (Number.isNaN(at.getTime())) return nothingPicked(viewerZone);
  const parts = new Intl.DateTimeFormat("en-CA", {
    timeZone: viewerZone,
    dateStyle: "short",
    timeStyle: "short",
    hourCycle: "h23",
  }).format(at);
  const [date = "", time = ""] = parts.split(", ");
  return { date, time, zone: viewerZone };
}

/**
 * When a job ends, whoever is left. `endAt` is the instant as the service has read it, or empty, or `?` while it has
 * not.
 */
export function EndAt(props: {
  endAt: string;
  problem: string | undefined;
  onChange: (endAt: string) => void;
}) {
  const { endAt, problem, onChange } = props;
  const [isChanging, setChanging] = useState(false);
  return (
    <fieldset class="stack">
      <legend>End</legend>
      <label class="choice">
        <input
          type="checkbox"
          checked={endAt !== ""}
          onChange={(event) => {
            setChanging(event.currentTarget.checked);
            onChange(event.currentTarget.checked ? "?" : "");
          }}
        />
        <span>
          End at a time, whoever is left <span class="hint">From then on nobody is called any more.</span>
        </span>
      </label>
      {endAt !== "" && !isChanging && (
        <div class="actions">
          <span>{dayAndTime(new Date(endAt), viewerZone)} your time</span>
          <button type="button" onClick={() => setChanging(true)}>
            Change the end
          </button>
        </div>
      )}
      {endAt !== "" && isChanging && <Picking endAt={endAt} onChange={onChange} />}
      <Problem problem={problem} />
    </fieldset>
  );
}

function Picking({ endAt, onChange }: { endAt: string; onChange: (endAt: string) => void }) {
  const [picked, setPicked] = useState(() => pickedOf(endAt));
  const first = useRef(picked);
  const reading = useReading(picked);
  const read = reading.kind === "read" ? reading.at.toISOString() : "?";
  useEffect(() => {
    if (picked !== first.current) onChange(read);
  }, [read, picked]);
  return <StartTimePicker id="end" picked={picked} reading={reading} onPick={setPicked} />;
}
