import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";

/** How phone numbers are read as they are dialed in a country. */
type Numbers = typeof import("../../../files/phones.ts");

let known: Numbers | undefined;

/** It is large, and loaded once a number is there that needs it; undefined until then. */
export function useNumbers(isNeeded: boolean): Numbers | undefined {
  const [numbers, setNumbers] = useState(known);
  useEffect(() => {
    if (!isNeeded || numbers !== undefined) return;
    const show = (loaded: Numbers) => {
      known = loaded;
      setNumbers(loaded);
    };
    import("../../../files/phones.ts").then(show, (thrown: unknown) => reportError(thrown));
  }, [isNeeded]);
  return numbers;
}

/** Whether a number says by itself which country it is of. */
export const isInternational = (written: string): boolean => /^\s*(?:tel:)?\s*\+/i.test(written);

/** The country that was chosen last; none until one is, for a wrong one makes somebody else's number of it. */
export const chosenCountry = signal("");

/**
 * The number in international form, as it is read in that country; undefined if it is none there. One that says its
 * country by itself is answered as it is.
 */
export function readIn(numbers: Numbers | undefined, written: string, region: string): string | undefined {
  if (isInternational(written)) return written;
  if (numbers === undefined || region === "") return undefined;
  const read = numbers.phoneReader(region)(written);
  return typeof read === "string" ? read : undefined;
}
