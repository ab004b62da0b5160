import { Field } from "./field.tsx";

const names = new Intl.DisplayNames("en", { type: "region", fallback: "code" });

export const regionName = (region: string): string => names.of(region) ?? region;

/** The countries by the names that people look for. */
const byName = (regions: readonly string[]): (readonly [region: string, name: string])[] =>
  regions
    .map((region) => [region, regionName(region)] as const)
    .toSorted(([, one], [, other]) => one.localeCompare(other, "en"));

/** As whose numbers those without a plus sign are read. */
export const RegionField = (props: {
  id: string;
  regions: readonly string[];
  region: string;
  /** What becomes of them without a country. */
  none: string;
  onChange: (region: string) => void;
}) => (
  <Field
    id={props.id}
    label="Numbers without a plus sign are of"
    hint="As people write and dial them in that country."
  >
    <select
      id={props.id}
      aria-describedby={`${props.id}-hint`}
      value={props.region}
      onChange={(event) => props.onChange(event.currentTarget.value)}
    >
      <option value="">{props.none}</option>
      {byName(props.regions).map(([each, name]) => (
        <option key={each} value={each}>
          {name}
        </option>
      ))}
    </select>
  </Field>
);
