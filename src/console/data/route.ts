import { signal } from "@preact/signals";

/** What the address shows after its `#`: a path in parts, and a query. */
export type Route = { readonly path: readonly string[]; readonly query: URLSearchParams };

function read(): Route {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").filter((part) => part !== "");
  return { path: parts.map(decoded), query: new URLSearchParams(query) };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Where the page is. The service itself knows one page only; everything else is after the `#`. */
export const route = signal<Route>(read());

addEventListener("hashchange", () => (route.value = read()));

/** The address of a view, for links. */
export function href(path: readonly (string | number)[], query: Record<string, string> = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== "");
  const search = given.length > 0 ? `?${new URLSearchParams(given)}` : "";
  return `#/${path.map((part) => encodeURIComponent(part)).join("/")}${search}`;
}

export function navigate(to: string): void {
  location.hash = to;
}

/** Changes the address without a step in the browser's history: for what is typed letter by letter. */
export function replaceAddress(to: string): void {
  history.replaceState(null, "", to);
  route.value = read();
}
