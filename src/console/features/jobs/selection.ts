import type { Signal } from "@preact/signals";

/** Which jobs a command is meant for: those with these ids, or all that the filters let through, on all pages. */
export type Selection = ReadonlySet<string> | "all";

export const nothing: Selection = new Set<string>();

export const isSelected = (selection: Selection, id: string): boolean =>
  selection === "all" || selection.has(id);

/** With this job, or without it. Of all that match, without one, are left those that are seen. */
export function toggle(selected: Signal<Selection>, id: string, seen: readonly string[]): void {
  const next = new Set(selected.value === "all" ? seen : selected.value);
  if (!next.delete(id)) next.add(id);
  selected.value = next;
}

export function selectAlso(selected: Signal<Selection>, ids: readonly string[]): void {
  if (selected.value !== "all") selected.value = new Set([...selected.value, ...ids]);
}
