import type { Proxy } from "../support/proxy.ts";

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

/** Listens until the work is done; answers every call site that has sent something at least twice. */
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
    .filter(([, times]) => times >= 2)
    .map(([name]) => ({ name, matches: (request) => read(request).includes(name) }));
}
