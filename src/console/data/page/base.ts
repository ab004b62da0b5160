/** The path that the whole service is under, with a slash at its end. */
const basePath = (): string =>
  document.querySelector<HTMLMetaElement>('meta[name="callsheet-base"]')?.content ?? "/";

/** The address of what the service has at a path of its own. */
export const inBase = (path: string): string => `${basePath()}${path}`;

/** A path of the page as it is within the service; undefined for one outside of it. */
export function withinBase(pathname: string): string | undefined {
  const base = basePath();
  return pathname.startsWith(base) ? pathname.slice(base.length) : undefined;
}
