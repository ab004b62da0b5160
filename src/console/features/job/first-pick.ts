import { DateTime } from "luxon";
import type { Picked } from "../../ui/start-time-picker.tsx";

/** An instant as the inputs of the picker show it; with its seconds only where it has some. */
export function firstPick(at: Date, zone: string): Picked {
  const shown = DateTime.fromJSDate(at, { zone });
  const time = shown.toFormat(shown.second === 0 ? "HH:mm" : "HH:mm:ss");
  return { date: shown.toFormat("yyyy-MM-dd"), time, zone };
}
