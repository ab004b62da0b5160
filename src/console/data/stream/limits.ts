/** As many jobs as one stream may have. */
export const mostIds = 1_000;
