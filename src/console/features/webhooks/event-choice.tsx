import { eventTypes } from "../../../domain/event.ts";
import { toggled } from "../../ui/form/toggled.ts";

/** Which events are sent: all of them, or only those of some types. */
export const EventChoice = ({
  types,
  onChange,
}: {
  types: readonly string[];
  onChange: (types: string[]) => void;
}) => (
  <fieldset>
    <legend>Only these events</legend>
    <p class="hint">Choose none for all of them, and those of a later version too.</p>
    <div class="chips checks">
      {eventTypes.map((type) => (
        <label class="chip" key={type}>
          <input
            type="checkbox"
            checked={types.includes(type)}
            onChange={() => onChange(toggled(types, type))}
          />
          {type}
        </label>
      ))}
    </div>
  </fieldset>
);
