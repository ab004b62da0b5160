/** The header without which the service takes no notice of the cookie that the browser sends along. */
export const proof = { "x-callsheet-console": "1" } as const;
