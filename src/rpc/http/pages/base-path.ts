/** What Prometheus and the watch over a replica ask for without a proxy between. */
const alsoWithout: ReadonlySet<string> = new Set(["/healthz", "/readyz", "/metrics"]);

/** Where there is nothing. */
const nowhere = "*";

/**
 * The address of a request as it is without the path that the whole service is under. It is empty for that path
 * itself, where relative links of the console would go wrong.
 */
export const withoutBasePath =
  (basePath: string) =>
  (url: string): string => {
    const path = url.split("?", 1)[0] ?? "";
    if (basePath === "" || alsoWithout.has(path)) return url;
    if (path === basePath) return "";
    return path.startsWith(`${basePath}/`) ? url.slice(basePath.length) : nowhere;
  };
