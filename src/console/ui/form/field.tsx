import type { ComponentChildren } from "preact";

/** A labelled control with a hint, and with what is wrong with it. The control takes `id` and `describedBy(id)`. */
export const Field = (props: {
  id: string;
  label: string;
  hint?: ComponentChildren;
  problem?: string | undefined;
  children: ComponentChildren;
}) => (
  <div class="field">
    <label for={props.id}>{props.label}</label>
    {props.children}
    {props.hint !== undefined && (
      <p class="hint" id={`${props.id}-hint`}>
        {props.hint}
      </p>
    )}
    {props.problem !== undefined && (
      <p class="problem" id={`${props.id}-problem`} role="alert">
        {props.problem}
      </p>
    )}
  </div>
);

/** What a control says about itself to assistive technology. */
export const describedBy = (id: string, problem: string | undefined) => ({
  id,
  "aria-describedby": problem === undefined ? `${id}-hint` : `${id}-problem ${id}-hint`,
  ...(problem === undefined ? {} : { "aria-invalid": true }),
});
