import { setTimeout as delay } from "node:timers/promises";
import type { Harm, Proxy } from "../support/servers/proxy.ts";

/** What one place in the code sends to a server, as far as one request tells it from the others. */
export type CallSite = { readonly name: string; matches(request: string): boolean };

const statement = /\b(?:begin|commit|rollback|select|insert into|update|delete from|with|set)\b[^\0]{1,160}/;
const command = /\*\d+\r\n\$\d+\r\n([a-z]+)\r\n(?:\$40\r\n([0-9a-f]{40})\r\n)?/gi;

/** The beginning of the SQL statement in a request. */
function statementIn(request: string): string[] {
  const found = request.includes("commit\0") ? "commit" : statement.exec(request)?.[0];
  return found === undefined ? [] : [found.replaceAll(/\s+/g, " ").trim().slice(0, 120)];
}

/** The commands in a request, each with the script that it runs. */
const commandsIn = (request: string): string[] =>
  [...request.matchAll(command)].map(([, name = "", sha = ""]) =>
    `${name.toLowerCase()} ${sha.slice(0, 8)}`.trim(),
  );

const readers = { postgres: statementIn, redis: commandsIn };

/** Listens until the work is done; answers every call site that has sent something at least three times. */
export async function findCallSites(
  kind: keyof typeof readers,
  proxy: Proxy,
  work: () => Promise<unknown>,
): Promise<CallSite[]> {
  const read = readers[kind];
  const seen = new Map<string, number>();
  proxy.onRequest((request) => {
    for (const name of read(request)) seen.set(name, (seen.get(name) ?? 0) + 1);
  });
  await work();
  proxy.onRequest(undefined);
  return [...seen]
    .filter(([, times]) => times >= 3)
    .map(([name]) => ({ name, matches: (request) => read(request).includes(name) }));
}

/**
 * Harms one request of each site, in the order in which they come. Answers the names of those that sent nothing in
 * time.
 */
export async function harmEach(
  proxy: Proxy,
  sites: readonly CallSite[],
  harm: Harm,
  withinMs: number,
): Promise<string[]> {
  const left = new Set(sites);
  const over = delay(withinMs, "over" as const, { ref: false });
  while (left.size > 0) {
    let found: CallSite | undefined;
    const trap = proxy.trap((request) => {
      found = [...left].find((site) => site.matches(request));
      return found !== undefined;
    }, harm);
    const how = await Promise.race([trap.sprung, over]);
    trap.disarm();
    if (how === "over") break;
    if (found !== undefined) left.delete(found);
    // A connection of which nothing comes back is given up by its timeout; so many of them are too much for a pool.
    if (harm === "swallow the replies") await delay(2_000).then(() => proxy.mend());
    await delay(50);
  }
  return [...left].map(({ name }) => name);
}
