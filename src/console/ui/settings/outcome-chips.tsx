import { Outcome } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { toggled } from "../form/toggled.ts";
import { endings } from "../format/words.ts";

/** A chip for each outcome but that a call was completed. */
export const OutcomeChips = (props: { picked: readonly Outcome[]; onPick: (picked: Outcome[]) => void }) => (
  <div class="chips checks">
    {endings.map(({ outcome, word }) =>
      outcome === undefined || outcome === Outcome.COMPLETED ? null : (
        <label class="chip" key={outcome}>
          <input
            type="checkbox"
            checked={props.picked.includes(outcome)}
            onChange={() => props.onPick(toggled(props.picked, outcome))}
          />
          {word}
        </label>
      ),
    )}
  </div>
);
