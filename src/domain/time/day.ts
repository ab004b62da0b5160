/** A day of 24 hours, whatever clocks do in it. */
export const dayMs = 24 * 60 * 60 * 1_000;

/** So far ahead hours are looked at, and plans reach. */
export const horizonMs = 400 * dayMs;
