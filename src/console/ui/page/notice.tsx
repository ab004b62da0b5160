import type { ComponentChildren } from "preact";
import css from "./notice.module.css";

export type Tone = "info" | "good" | "warning" | "bad";

/** Something to be told. Bad news is read out at once, the rest when there is time. */
export const Notice = ({ tone, children }: { tone: Tone; children: ComponentChildren }) => (
  <div class={`${css.notice} ${css[tone] ?? ""}`} role={tone === "bad" ? "alert" : "status"} data-tone={tone}>
    {children}
  </div>
);

/** Instead of a view or a list that has nothing to show. */
export const Empty = ({ title, children }: { title: string; children?: ComponentChildren }) => (
  <div class={css.empty}>
    <p class={css.title}>{title}</p>
    {children}
  </div>
);

/** Turns while something is waited for; what that is stands beside it. */
export const Spinner = () => <span class={css.spinner} aria-hidden="true" />;

/** Stands where something will be in a moment. */
export const Loading = ({ what }: { what: string }) => (
  <div class={css.loading} role="status">
    <Spinner />
    Loading {what} …
  </div>
);
