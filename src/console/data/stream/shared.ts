import { createHub } from "./hub.ts";
import { openerAt } from "./open.ts";

/*
 * One for all tabs of a browser, which has six connections to a service over HTTP/1.1: so a tab holds none, and the
 * seventh one loads as the first.
 */

/** What a page says: the jobs that it watches; an empty message is a sign of life. */
export type FromPage = { readonly ids?: readonly string[] };

/** A page gives a sign of life more often than this, or it is gone. */
const longestSilenceMs = 75_000;
const lookMs = 15_000;

// This file is built into the folder beside the page.
const hub = createHub(openerAt(new URL("..", location.href).href.replace(/\/$/, "")));

addEventListener("connect", (event) => {
  const [port] = (event as MessageEvent).ports;
  if (port === undefined) return;
  let heardMs = performance.now();
  const looking = setInterval(() => {
    if (performance.now() - heardMs < longestSilenceMs) return;
    clearInterval(looking);
    hub.leave(port);
  }, lookMs);
  port.addEventListener("message", ({ data }: MessageEvent<FromPage>) => {
    heardMs = performance.now();
    if (data.ids !== undefined) hub.watch(port, data.ids, (told) => port.postMessage(told));
  });
  port.start();
});
