import { type CallingHours, findOpening } from "../time/hours.ts";
import { horizonMs } from "../time/day.ts";

/** How many contacts of a job were final at an instant at which it ran. */
export type Point = { readonly atMs: number; readonly final: number };

/** What the end of a run is estimated from. */
export type Progress = {
  readonly nowMs: number;
  /** In the order of their instants; nothing is noted while the job is paused, or its hours are closed. */
  readonly points: readonly Point[];
  /** How many contacts are not final. */
  readonly open: number;
  /** When the last of the retries that wait now comes due. */
  readonly lastRetryAtMs: number | undefined;
  /** All of them must allow a call. None allows all. */
  readonly hours: readonly CallingHours[];
  /** The zones that contacts are in; those of one set may be called while all of its zones are open. */
  readonly zoneSets: readonly (readonly string[])[];
  readonly endAtMs: number | undefined;
};

const windowMs = 10 * 60_000;
/** Less time says nothing. */
const leastMs = 60_000;
/** Points that are further apart say nothing of the time between them: nobody may have been called in it. */
const mostBetweenMs = 150_000;

/** How many contacts became final each ms, in the last ten minutes in which the job ran; undefined if too few did. */
function rateOf(points: readonly Point[]): number | undefined {
  let [lastedMs, final] = [0, 0];
  for (let i = points.length - 1; i > 0 && lastedMs < windowMs; i -= 1) {
    const [before, after] = [points[i - 1], points[i]];
    if (before === undefined || after === undefined) continue;
    const betweenMs = after.atMs - before.atMs;
    if (betweenMs > mostBetweenMs) continue;
    lastedMs += betweenMs;
    final += after.final - before.final;
  }
  return lastedMs >= leastMs && final > 0 ? final / lastedMs : undefined;
}

/**
 * The instant by which a job was open for so long in all, and each of its sets once; undefined if that takes more than
 * 400 days.
 */
function afterOpenTime({ nowMs, hours, zoneSets }: Progress, openMs: number): number | undefined {
  if (hours.length === 0) return nowMs + openMs;
  // Whoever can never be called keeps the job from its end, and whoever is first called late from an early one.
  const firsts = zoneSets.map((zones) => findOpening(hours, zones, nowMs)?.fromMs ?? Infinity);
  const latestMs = Math.max(nowMs, ...firsts);
  if (latestMs === Infinity) return undefined;
  let [atMs, leftMs] = [nowMs, openMs];
  while (atMs < nowMs + horizonMs) {
    const openings = zoneSets.flatMap((zones) => findOpening(hours, zones, atMs) ?? []);
    const untilMs = Math.max(
      ...openings.filter(({ fromMs }) => fromMs <= atMs).map((opening) => opening.untilMs),
    );
    if (untilMs > atMs) {
      if (atMs + leftMs <= untilMs) return Math.max(latestMs, atMs + leftMs);
      leftMs -= untilMs - atMs;
      atMs = untilMs;
    } else if (openings.length === 0) {
      return undefined;
    } else {
      atMs = Math.min(...openings.map(({ fromMs }) => fromMs));
    }
  }
  return undefined;
}

/**
 * When all contacts are final, or the job ends, if contacts become final as fast as in the last ten minutes, within the
 * hours; undefined while there is nothing to say.
 */
export function estimatedFinish(progress: Progress): number | undefined {
  const { points, open, lastRetryAtMs, endAtMs = Infinity } = progress;
  const rate = rateOf(points);
  if (rate === undefined || open === 0) return undefined;
  // Whoever is in no zone is never called within hours.
  const isEndless = progress.hours.length > 0 && progress.zoneSets.some((zones) => zones.length === 0);
  const finishMs = isEndless ? undefined : afterOpenTime(progress, open / rate);
  if (finishMs === undefined) return endAtMs === Infinity ? undefined : endAtMs;
  return Math.min(endAtMs, Math.max(finishMs, lastRetryAtMs ?? 0));
}
