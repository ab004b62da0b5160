import { Outcome } from "../../gen/callsheet/v1/batch_job_pb.ts";
import { Field, describedBy } from "./field.tsx";
import { endings } from "./format/words.ts";
import { Hours } from "./hours.tsx";
import type { Problems, Settings } from "./settings.ts";
import { toggled } from "./toggled.ts";

type TextField = Exclude<keyof Settings, "retryOn" | "hours">;

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

/** `isThere` for a job that there is: the number that it calls from stays. */
export const JobFields = (props: Props & { isThere?: boolean }) => (
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
          : "The id of the number that calls are placed from."
      }
      attributes={{ maxLength: 128, ...(props.isThere === true ? { readOnly: true } : {}) }}
    />
  </section>
);

export const CallFields = (props: Props) => (
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
  </section>
);

const RetryOn = ({ settings, problems, onChange }: Props) => (
  <fieldset>
    <legend>Try again after</legend>
    <div class="chips checks">
      {endings.map(({ outcome, word }) =>
        outcome === undefined || outcome === Outcome.COMPLETED ? null : (
          <label class="chip" key={outcome}>
            <input
              type="checkbox"
              checked={settings.retryOn.includes(outcome)}
              onChange={() => onChange({ retryOn: toggled(settings.retryOn, outcome) })}
            />
            {word}
          </label>
        ),
      )}
    </div>
    {problems.retryOn !== undefined && (
      <p class="problem" role="alert">
        {problems.retryOn}
      </p>
    )}
  </fieldset>
);
