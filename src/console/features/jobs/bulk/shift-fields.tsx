import { Field } from "../../../ui/form/field.tsx";

const unitSeconds = { minutes: 60, hours: 3_600, days: 86_400 } as const;

/** By how much a start moves, as it is being typed. */
export type Shift = {
  readonly amount: string;
  readonly unit: keyof typeof unitSeconds;
  readonly to: "later" | "earlier";
};

export const noShift: Shift = { amount: "", unit: "hours", to: "later" };

/** As the service takes it; undefined while it is none. */
export function shiftOf({ amount, unit, to }: Shift): { seconds: bigint } | undefined {
  if (!/^\d{1,5}$/.test(amount.trim()) || Number(amount) === 0) return undefined;
  return { seconds: BigInt(Number(amount) * unitSeconds[unit] * (to === "later" ? 1 : -1)) };
}

export const ShiftFields = ({ shift, onChange }: { shift: Shift; onChange: (shift: Shift) => void }) => (
  <>
    <div class="when">
      <Field id="shift-amount" label="By how much">
        <input
          id="shift-amount"
          inputMode="numeric"
          maxLength={5}
          value={shift.amount}
          onInput={(event) => onChange({ ...shift, amount: event.currentTarget.value })}
        />
      </Field>
      <Field id="shift-unit" label="Unit">
        <select
          id="shift-unit"
          value={shift.unit}
          onChange={(event) => onChange({ ...shift, unit: event.currentTarget.value as Shift["unit"] })}
        >
          {Object.keys(unitSeconds).map((unit) => (
            <option key={unit} value={unit}>
              {unit}
            </option>
          ))}
        </select>
      </Field>
      <Field id="shift-to" label="Later or earlier">
        <select
          id="shift-to"
          value={shift.to}
          onChange={(event) => onChange({ ...shift, to: event.currentTarget.value as Shift["to"] })}
        >
          <option value="later">later</option>
          <option value="earlier">earlier</option>
        </select>
      </Field>
    </div>
    <p class="hint">
      By the clocks in each job’s own time zone: a day later is the same time on the next day. Jobs that have
      no start stay without one.
    </p>
  </>
);
