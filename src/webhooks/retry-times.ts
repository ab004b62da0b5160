const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;

/** After the first attempt that failed, the second one, and so on. */
const delaysMs = [
  5 * secondMs,
  5 * minuteMs,
  30 * minuteMs,
  2 * hourMs,
  5 * hourMs,
  10 * hourMs,
  14 * hourMs,
  20 * hourMs,
  24 * hourMs,
];

/** What all who failed together are spread by, of the delay, to either side. */
const spread = 0.2;
const longestAskedForMs = 24 * hourMs;

/**
 * How long after the failure of an attempt, counted from 1, the next one is made; undefined after the last. Never
 * sooner than its receiver asked for, up to a day. `random` is from 0 to 1.
 */
export function retryDelayMs(
  attempt: number,
  retryAfterMs: number | undefined,
  random: number,
): number | undefined {
  const delayMs = delaysMs[attempt - 1];
  if (delayMs === undefined) return undefined;
  const ownMs = Math.round(delayMs * (1 - spread + 2 * spread * random));
  return Math.max(ownMs, Math.min(retryAfterMs ?? 0, longestAskedForMs));
}

/** What the header `Retry-After` asks for, in seconds or as a date of HTTP; undefined if it is neither. */
export function readRetryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,10}$/.test(header)) return Number(header) * secondMs;
  const atMs = header.endsWith(" GMT") ? Date.parse(header) : Number.NaN;
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}
