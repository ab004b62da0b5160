import { Field, describedBy } from "../form/field.tsx";
import { Days, Hours } from "./hours.tsx";
import { OutcomeChips } from "./outcome-chips.tsx";
import type { Problems, Settings } from "./settings.ts";
import { ZoneField } from "../form/zone-field.tsx";
import { Problem } from "../form/problem.tsx";

type TextField = {
  [Key in keyof Settings]: Settings[Key] extends string ? Key : never;
}[keyof Settings];

type Props = {
  settings: Settings;
  problems: Problems;
  onChange: (changes: Partial<Settings>) => void;
};

function Text(
  props: Props & {
    field: TextField;
    label: string;
    hint: string;
    attributes?: Record<string, string | number | boolean>;
  },
) {
  const { field, settings, problems, onChange } = props;
  return (
    <Field id={field} label={props.label} hint={props.hint} problem={problems[field]}>
      <input
        {...describedBy(field, problems[field])}
        {...props.attributes}
        value={settings[field]}
        onInput={(event) => onChange({ [field]: event.currentTarget.value })}
      />
    </Field>
  );
}

const knownNumbers = "known-numbers";

/**
 * `isThere` for a job that there is: the number that it calls from stays. For a new one `numbers` are offered, such as
 * those of other jobs.
 */
export const JobFields = (props: Props & { isThere?: boolean; numbers?: readonly string[] }) => (
  <section class="card" aria-labelledby="job-fields-title">
    <h2 id="job-fields-title">Job</h2>
    <Text
      {...props}
      field="name"
      label="Name"
      hint="What the job is called in lists."
      attributes={{ maxLength: 200, dir: "auto" }}
    />
    <Field id="description" label="Description" hint="Optional.">
      <textarea
        {...describedBy("description", undefined)}
        maxLength={1000}
        dir="auto"
        value={props.settings.description}
        onInput={(event) => props.onChange({ description: event.currentTarget.value })}
      />
    </Field>
    <Text
      {...props}
      field="fromPhoneNumberId"
      label="Call from"
      hint={
        props.isThere === true
          ? "It stays as the job was created with it."
          : "The number that calls are placed from, by its id in your voice product."
      }
      attributes={{
        maxLength: 128,
        ...(props.isThere === true ? { readOnly: true } : { list: knownNumbers }),
      }}
    />
    <datalist id={knownNumbers}>
      {props.numbers?.map((number) => (
        <option key={number} value={number} />
      ))}
    </datalist>
  </section>
);

/** `isThere` for a job that there is: by what time it calls whom stays. */
export const CallFields = (props: Props & { isThere?: boolean }) => (
  <section class="card" aria-labelledby="call-fields-title">
    <h2 id="call-fields-title">Calls</h2>
    <div class="when">
      <Text
        {...props}
        field="concurrentCallLimit"
        label="Calls at once, at most"
        hint="1 to 1,000"
        attributes={{ inputMode: "numeric" }}
      />
      <Text
        {...props}
        field="maxAttempts"
        label="Attempts for each contact"
        hint="1 to 10"
        attributes={{ inputMode: "numeric" }}
      />
    </div>
    <RetryOn {...props} />
    <Text
      {...props}
      field="retryMinutes"
      label="Minutes to wait before the next attempt"
      hint="With commas between: before the second attempt, the third, … The last one repeats."
    />
    <div class="when">
      <Text
        {...props}
        field="callsPerSecond"
        label="New calls a second, at most"
        hint="Empty for as many as there is room for."
        attributes={{ inputMode: "decimal" }}
      />
      <Text
        {...props}
        field="priority"
        label="Priority"
        hint="1 to 10: its share of the lines beside other jobs"
        attributes={{ inputMode: "numeric" }}
      />
    </div>
    <Hours
      hours={props.settings.hours}
      problem={props.problems.hours}
      onChange={(hours) => props.onChange({ hours })}
    />
    {props.settings.hours.length > 0 && (
      <>
        <Zones {...props} />
        <Days
          days={props.settings.days}
          problem={props.problems.days}
          onChange={(days) => props.onChange({ days })}
        />
      </>
    )}
  </section>
);

/** By what time the hours are. */
function Zones({ settings, isThere = false, onChange }: Props & { isThere?: boolean }) {
  const { timezone, zonesFromPhone } = settings;
  if (isThere) {
    return (
      <p class="hint">
        {zonesFromPhone
          ? "By the time where each phone number is."
          : `By the time in ${timezone}, but for contacts with a time zone of their own.`}
      </p>
    );
  }
  return (
    <fieldset class="stack">
      <legend>By what time</legend>
      <div>
        <label class="choice">
          <input
            type="radio"
            name="zones"
            checked={!zonesFromPhone}
            onChange={() => onChange({ zonesFromPhone: false })}
          />
          <span>
            In one time zone <span class="hint">But for people whose row says another.</span>
          </span>
        </label>
        <label class="choice">
          <input
            type="radio"
            name="zones"
            checked={zonesFromPhone}
            onChange={() => onChange({ zonesFromPhone: true })}
          />
          <span>
            Where each phone number is{" "}
            <span class="hint">
              Whose number may be in several zones is called when all of them allow it.
            </span>
          </span>
        </label>
      </div>
      {!zonesFromPhone && (
        <ZoneField
          id="hours-zone"
          label="Time zone of the hours"
          hint="Such as Europe/Berlin."
          problem={undefined}
          value={timezone}
          onInput={(zone) => onChange({ timezone: zone })}
        />
      )}
    </fieldset>
  );
}

const RetryOn = ({ settings, problems, onChange }: Props) => (
  <fieldset>
    <legend>Try again after</legend>
    <OutcomeChips picked={settings.retryOn} onPick={(retryOn) => onChange({ retryOn })} />
    <Problem problem={problems.retryOn} />
  </fieldset>
);
