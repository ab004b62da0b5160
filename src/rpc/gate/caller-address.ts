import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";
import { parse } from "forwarded-parse";
import type { Networks } from "../../domain/networks.ts";

/** Where a call comes from, and whether a trusted proxy is between, on whose connection others call too. */
export type CallerAddress = { readonly address: string | undefined; readonly isProxied: boolean };

/** Finds it out from whose connection it is and what its headers say. */
export type FindAddress = (peer: string | undefined, headers: IncomingHttpHeaders) => CallerAddress;

/**
 * Believes what a proxy in one of the networks says in `X-Forwarded-For` or `Forwarded`: the last address in it that is
 * not of such a proxy itself. What stands before that anybody may have written. Where both headers are there and do not
 * agree, one of them came through the proxy as its client wrote it: then it is the proxy's address that counts.
 */
export function findAddressThrough(trusted: Networks | undefined): FindAddress {
  return (peer, headers) => {
    if (peer === undefined || trusted?.has(peer) !== true)
      return { address: peer && unmapped(peer), isProxied: false };
    const { "x-forwarded-for": list, forwarded } = headers;
    const found = [
      ...(list === undefined ? [] : [lastUntrusted(listed(String(list)), peer, trusted)]),
      ...(forwarded === undefined ? [] : [lastUntrusted(inForwarded(forwarded), peer, trusted)]),
    ];
    const [first = peer, second = first] = found;
    return { address: unmapped(first === second ? first : peer), isProxied: true };
  };
}

/** From the nearest on. Behind an entry that is no address nothing is known. */
function lastUntrusted(entries: readonly string[], peer: string, trusted: Networks): string {
  let nearest = peer;
  for (const entry of entries.toReversed()) {
    const address = withoutPort(entry);
    if (isIP(address) === 0) return nearest;
    nearest = address;
    if (!trusted.has(address)) return nearest;
  }
  return nearest;
}

const listed = (list: string): string[] => list.split(",").map((entry) => entry.trim());

function inForwarded(header: string): string[] {
  try {
    return parse(header).map(({ for: entry = "" }) => entry);
  } catch {
    return [];
  }
}

/** `10.0.0.1:80`, `[fd00::1]:80` and `[fd00::1]` without what is around the address. */
const withoutPort = (entry: string): string =>
  /^\[([^\]]*)\](?::\d+)?$/.exec(entry)?.[1] ?? /^([\d.]+):\d+$/.exec(entry)?.[1] ?? entry;

/** One host is one address, whichever way a socket or a proxy writes it. */
const unmapped = (address: string): string => address.replace(/^::ffff:(?=[\d.]+$)/i, "");
