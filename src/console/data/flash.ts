import { signal } from "@preact/signals";

/** Something to be told once, on the view that is shown next; the one after that no longer says it. */
export const flash = signal("");

let isNew = false;

export function say(sentence: string): void {
  flash.value = sentence;
  isNew = true;
}

addEventListener("hashchange", () => {
  if (!isNew) flash.value = "";
  isNew = false;
});
