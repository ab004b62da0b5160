import type { LookupAddress } from "node:dns";
import type { Resolver } from "node:dns/promises";
import { isIPv6, type LookupFunction } from "node:net";
import { callbackify } from "node:util";
import { type ConnectPolicy, mayConnect } from "./addresses.ts";
import { NotSent } from "./not-sent.ts";

/** Asks for the addresses of a name; a part of what Node's `Resolver` is. */
export type NameServers = Pick<Resolver, "resolve4" | "resolve6">;

/**
 * What a connection asks for addresses; it is answered only with such as it may be made to. Name servers are asked,
 * and not the system: of its threads there are four, and names whose servers do not answer would take them all.
 */
export function createCheckedLookup(
  protocol: string,
  policy: ConnectPolicy,
  nameServers: NameServers,
): LookupFunction {
  const look = callbackify(async (name: string): Promise<LookupAddress[]> => {
    const addresses = await addressesOf(name, nameServers);
    const checked = addresses.filter((address) => mayConnect(address, protocol, policy));
    if (checked.length === 0) throw new NotSent("address_blocked");
    return checked.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }));
  });
  return (name, _options, callback) => look(name, callback);
}

async function addressesOf(name: string, nameServers: NameServers): Promise<string[]> {
  if (name === "localhost") return ["127.0.0.1", "::1"];
  const [ofIpv4, ofIpv6] = await Promise.allSettled([nameServers.resolve4(name), nameServers.resolve6(name)]);
  const addresses = [ofIpv4, ofIpv6].flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
  if (addresses.length > 0) return addresses;
  throw new NotSent(hasNone(ofIpv4) && hasNone(ofIpv6) ? "name_not_found" : "name_server_failed");
}

/** Whether it is known that a name has no address, or is none. */
const hasNone = (answer: PromiseSettledResult<unknown>): boolean =>
  answer.status === "fulfilled" || ["ENOTFOUND", "ENODATA"].includes(answer.reason.code);
