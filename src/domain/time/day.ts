/** A day of 24 hours, whatever clocks do in it. */
export const dayMs = 24 * 60 * 60 * 1_000;
