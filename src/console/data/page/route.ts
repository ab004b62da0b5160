import { signal } from "@preact/signals";
import { inBase, withinBase } from "./base.ts";

/**
 * Where the page is, within the service: a path in parts, a query, and a fragment, for what is personal: a browser
 * sends it to nobody.
 */
export type Route = {
  readonly path: readonly string[];
  readonly query: URLSearchParams;
  readonly fragment: string;
};

function read(url: URL): Route {
  // An address of a console before, whose views were after the `#`.
  const isOld = url.hash.startsWith("#/");
  const at = isOld ? new URL(url.hash.slice(2), url) : url;
  const parts = (withinBase(at.pathname) ?? "").split("/").filter((part) => part !== "");
  const fragment = isOld ? "" : decoded(url.hash.slice(1));
  return { path: parts.map(decoded), query: at.searchParams, fragment };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const route = signal<Route>(read(new URL(location.href)));

/** The address of a view, for links. */
export function href(path: readonly (string | number)[], query: Record<string, string> = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== "");
  const search = given.length > 0 ? `?${new URLSearchParams(given)}` : "";
  return `${inBase(path.map((part) => encodeURIComponent(part)).join("/"))}${search}`;
}

const isView = (url: URL): boolean => {
  const path = url.origin === location.origin ? withinBase(url.pathname) : undefined;
  return path !== undefined && /^(?:$|(?:jobs|keys|never-call|organization|webhooks)(?:\/|$))/.test(path);
};

/** Why what is left should not be; empty if nothing speaks against it. */
type Guard = (left: "page" | "view") => string;
const guards = new Set<Guard>();

/** Asks before the page, or the view, is left for which the guard has a reason; answers how to forget that. */
export function askBeforeLeaving(guard: Guard): () => void {
  guards.add(guard);
  return () => void guards.delete(guard);
}

const reasonToStay: Guard = (left) =>
  [...guards].map((guard) => guard(left)).find((reason) => reason !== "") ?? "";

addEventListener("beforeunload", (event) => {
  if (reasonToStay("page") !== "") event.preventDefault();
});

const moved = new Set<() => void>();

/** Calls back when another view, or another part of one, is shown. */
export const onMove = (listener: () => void): void => void moved.add(listener);

function show(url: URL): void {
  route.value = read(url);
  for (const listener of moved) listener();
}

/**
 * Links between views are ordinary ones. Where the browser lets the page answer them (the Navigation API) it does, and
 * the browser keeps where each view was scrolled to; elsewhere it loads the page at the new address, which does, too.
 */
export function startRouting(): void {
  const { path, query } = route.value;
  if (location.hash.startsWith("#/")) history.replaceState(null, "", href(path, Object.fromEntries(query)));
  addEventListener("hashchange", () => show(new URL(location.href)));
  window.navigation?.addEventListener("navigate", (event) => {
    const url = new URL(event.destination.url);
    if (!event.canIntercept || event.hashChange || event.downloadRequest !== null || !isView(url)) return;
    const isSameView = url.pathname === location.pathname;
    const reason = isSameView ? "" : reasonToStay("view");
    if (reason !== "" && event.cancelable && !confirm(reason)) return event.preventDefault();
    const isQuiet = isSameView && event.navigationType === "replace";
    event.intercept({
      focusReset: "manual",
      scroll: isQuiet ? "manual" : "after-transition",
      async handler() {
        show(url);
        await painted();
      },
    });
  });
}

/** Resolves when what was changed is on the screen: the browser scrolls to what is there by then. */
const painted = (): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, 50);
  });

export function navigate(to: string): void {
  location.assign(to);
}

/** Changes the address without a step in the browser's history: for what is typed letter by letter. */
export function replaceAddress(to: string): void {
  history.replaceState(null, "", to);
  if (window.navigation === undefined) show(new URL(location.href));
}
