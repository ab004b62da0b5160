import { useEffect, useRef, useState } from "preact/hooks";
import { BatchJobService } from "../../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { refusalOf } from "../../../data/service/refusal.ts";
import { newRequestId } from "../../../data/service/request-id.ts";
import { type Picked, asRequest, nothingPicked, useReading } from "../../../data/load/use-reading.ts";
import { AsCurl, type Calling, callOf } from "../../../ui/form/as-curl.tsx";
import { counted } from "../../../ui/format/numbers.ts";
import { viewerZone } from "../../../ui/format/times.ts";
import { Notice } from "../../../ui/page/notice.tsx";
import { StartTimePicker } from "../../../ui/form/start-time-picker.tsx";
import { filterOf } from "../address.ts";
import css from "./bulk.module.css";
import type { MovingProps } from "./move-dialog.tsx";
import { MovedTable } from "./moved-table.tsx";
import { type MoveRequest, type Told, moveAll } from "./moving.ts";
import { type Shift, ShiftFields, noShift, shiftOf } from "./shift-fields.tsx";

type Stage =
  | { readonly kind: "choosing" }
  | { readonly kind: "trying" | "tried" | "moving" | "moved" | "stopped"; readonly told: readonly Told[] };

const tries = 10;

/** All that match are moved by the service; before it does it tells what would come of it. */
export function MoveAll({ jobs, isAtLeast, address, onClose }: MovingProps) {
  const [way, setWay] = useState<"shift" | "time">("shift");
  const [picked, setPicked] = useState<Picked>(() => nothingPicked(viewerZone));
  const [shift, setShift] = useState<Shift>(noShift);
  const [stage, setStage] = useState<Stage>({ kind: "choosing" });
  const [problem, setProblem] = useState("");
  const reading = useReading(way === "time" ? picked : nothingPicked(viewerZone));
  const stop = useRef(new AbortController());
  const requestId = useRef(newRequestId());
  useEffect(() => () => stop.current.abort(), []);
  const isReady = way === "time" ? reading.kind === "read" : shiftOf(shift) !== undefined;

  function requestFor({ dryRun }: { dryRun: boolean }): MoveRequest {
    const move = way === "time" ? asRequest(picked) : { shift: shiftOf(shift) };
    return { requestId: requestId.current, filter: filterOf(address), ...move, dryRun };
  }

  const callFor =
    (how: { dryRun: boolean }): Calling =>
    (id) =>
      callOf(BatchJobService.method.rescheduleBatchJobs, { ...requestFor(how), requestId: id });

  async function ask(kinds: { during: "trying" | "moving"; after: "tried" | "moved" }): Promise<void> {
    stop.current = new AbortController();
    const { signal } = stop.current;
    let told: readonly Told[] = [];
    const tell = (kind: Exclude<Stage["kind"], "choosing">) => setStage({ kind, told });
    setProblem("");
    tell(kinds.during);
    try {
      await moveAll(requestFor({ dryRun: kinds.during === "trying" }), {
        tries,
        signal,
        onTold(all) {
          told = all;
          if (!signal.aborted) tell(kinds.during);
        },
      });
      tell(kinds.after);
    } catch (error) {
      if (signal.aborted && kinds.during === "moving") return tell("stopped");
      if (!signal.aborted) setProblem(refusalOf(error).message);
      setStage({ kind: "choosing" });
    }
  }

  const change =
    <T,>(set: (value: T) => void) =>
    (value: T) => {
      // Another move is another request.
      requestId.current = newRequestId();
      set(value);
    };

  if (stage.kind === "choosing") {
    return (
      <form
        class="stack"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady) void ask({ during: "trying", after: "tried" });
        }}
      >
        <p>
          {counted(jobs.length, "job")}
          {isAtLeast && " or more"} that match wait for their start.
        </p>
        <fieldset>
          <legend class="unseen">How</legend>
          <label class="choice">
            <input type="radio" name="way" checked={way === "shift"} onChange={() => setWay("shift")} />
            Move each start by the same time
          </label>
          <label class="choice">
            <input type="radio" name="way" checked={way === "time"} onChange={() => setWay("time")} />
            All to one start
          </label>
        </fieldset>
        {way === "shift" ? (
          <ShiftFields shift={shift} onChange={change(setShift)} />
        ) : (
          <StartTimePicker picked={picked} reading={reading} onPick={change(setPicked)} />
        )}
        {isReady && <AsCurl call={callFor({ dryRun: true })} />}
        {problem !== "" && <Notice tone="bad">{problem}</Notice>}
        <div class="actions">
          <button type="button" onClick={onClose}>
            Leave them as they are
          </button>
          <button type="submit" class="primary" aria-disabled={!isReady}>
            Show what comes of it
          </button>
        </div>
      </form>
    );
  }
  return (
    <div class={css.stage}>
      <MovedTable stage={stage.kind} told={stage.told} jobs={jobs} />
      {stage.kind === "tried" && <AsCurl call={callFor({ dryRun: false })} />}
      <Buttons
        stage={stage}
        onBack={() => setStage({ kind: "choosing" })}
        onMove={() => void ask({ during: "moving", after: "moved" })}
        onStop={() => stop.current.abort()}
        onClose={onClose}
      />
    </div>
  );
}

function Buttons(props: {
  stage: Extract<Stage, { told: unknown }>;
  onBack: () => void;
  onMove: () => void;
  onStop: () => void;
  onClose: () => void;
}) {
  const { kind, told } = props.stage;
  const movable = told.filter(({ why }) => why === undefined).length;
  return (
    <div class="actions">
      {(kind === "trying" || kind === "moving") && (
        <button type="button" onClick={props.onStop}>
          Stop
        </button>
      )}
      {kind === "tried" && (
        <>
          <button type="button" onClick={props.onBack}>
            Back
          </button>
          {movable > 0 && (
            <button type="button" class="primary" onClick={props.onMove}>
              Reschedule {counted(movable, "job")}
            </button>
          )}
        </>
      )}
      {(kind === "moved" || kind === "stopped") && (
        <button type="button" onClick={props.onClose}>
          Close
        </button>
      )}
    </div>
  );
}
