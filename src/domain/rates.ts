/** What calls are counted by, each for itself. */
export const rateClasses = ["read", "command", "import", "lease"] as const;

export type RateClass = (typeof rateClasses)[number];

/** How many calls of each class may be made in a second; 0 is no limit. */
export type Rates = Readonly<Record<RateClass, number>>;

export const noRates: Rates = { read: 0, command: 0, import: 0, lease: 0 };

/** The largest rate that can be set; a limit above it is none. */
export const mostPerSecond = 1_000_000;
