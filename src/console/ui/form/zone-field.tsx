import { Field, describedBy } from "./field.tsx";

const zones = ["UTC", ...Intl.supportedValuesOf("timeZone").filter((zone) => zone !== "UTC")];

/** A time zone by its name, of which the browser's are offered. */
export const ZoneField = (props: {
  id: string;
  label: string;
  hint: string;
  problem: string | undefined;
  value: string;
  onInput: (zone: string) => void;
}) => (
  <Field id={props.id} label={props.label} hint={props.hint} problem={props.problem}>
    <input
      {...describedBy(props.id, props.problem)}
      list={`${props.id}-list`}
      autocomplete="off"
      spellcheck={false}
      required
      value={props.value}
      onInput={(event) => props.onInput(event.currentTarget.value)}
    />
    <datalist id={`${props.id}-list`}>
      {zones.map((zone) => (
        <option key={zone} value={zone} />
      ))}
    </datalist>
  </Field>
);
