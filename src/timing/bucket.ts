/** What somebody wants out of a bucket. */
export type Wanted = {
  /** So many tokens come in a second, and as many are in a full bucket. */
  readonly perSecond: number;
  readonly want: number;
  /** More than is wanted, up to so many, while the bucket is more than half full. */
  readonly most: number;
};

/** What was granted, and how long it takes until there is a token again. */
export type Grant = { readonly granted: number; readonly waitMs: number };

/**
 * Takes tokens out of a bucket that lacks so many ms of what comes. What is granted beyond the need comes out of the
 * upper half only: whoever leaves it unused takes nothing from others who have need of it. The script of
 * src/redis/rates.ts reckons likewise.
 */
export function takeTokens(
  lacksMs: number,
  { perSecond, want, most }: Wanted,
): Grant & { readonly lacksMs: number } {
  const free = Math.floor(((1_000 - lacksMs) * perSecond) / 1_000 + 1e-6);
  const spare = Math.min(most, free - Math.ceil(perSecond / 2));
  const granted = Math.max(0, Math.min(free, Math.max(want, spare)));
  const lacks = lacksMs + (granted * 1_000) / perSecond;
  return { granted, waitMs: Math.max(0, Math.ceil(lacks + 1_000 / perSecond - 1_000)), lacksMs: lacks };
}
