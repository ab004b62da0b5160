import type { ComponentChildren } from "preact";

export type Tone = "info" | "good" | "warning" | "bad";

/** Something to be told. Bad news is read out at once, the rest when there is time. */
export const Notice = ({ tone, children }: { tone: Tone; children: ComponentChildren }) => (
  <div class={`notice ${tone}`} role={tone === "bad" ? "alert" : "status"}>
    {children}
  </div>
);

/** Instead of a view or a list that has nothing to show. */
export const Empty = ({ title, children }: { title: string; children?: ComponentChildren }) => (
  <div class="empty">
    <p class="title">{title}</p>
    {children}
  </div>
);

/** Stands where something will be in a moment. */
export const Loading = ({ what }: { what: string }) => (
  <div class="loading" role="status">
    <span class="spinner" aria-hidden="true" />
    Loading {what} …
  </div>
);
