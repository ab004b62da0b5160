import { signal } from "@preact/signals";
import { onMove } from "./route.ts";

export type Flash = { readonly tone: "good" | "warning"; readonly sentence: string };

/** Something to be told once, on the view that is shown next; the one after that no longer says it. */
export const flash = signal<Flash | undefined>(undefined);

let isNew = false;

export function say(sentence: string, tone: Flash["tone"] = "good"): void {
  flash.value = { tone, sentence };
  isNew = true;
}

onMove(() => {
  if (!isNew) flash.value = undefined;
  isNew = false;
});
