import { BlockList, isIP, isIPv6 } from "node:net";

const familyOf = (address: string) => (isIPv6(address) ? "ipv6" : "ipv4");

/** Networks of addresses, IPv4 ones also in the form that they have among IPv6. */
export type Networks = { has(address: string): boolean };

/** What is wrong with networks in CIDR, with commas between them. */
export const networksFault = (text: string): string | undefined =>
  split(text)
    .filter((network) => parse(network) === undefined)
    .map(
      (network) =>
        `must be networks such as 10.0.0.0/8 or fd00::/8, with commas between them; not ${JSON.stringify(network)}`,
    )
    .at(0);

/** Reads what has no fault. An address by itself is a network of one. */
export function readNetworks(text: string): Networks {
  const list = new BlockList();
  for (const network of split(text)) {
    const parsed = parse(network);
    if (parsed) list.addSubnet(parsed.address, parsed.prefix, familyOf(parsed.address));
  }
  return { has: (address) => isIP(address) !== 0 && list.check(address, familyOf(address)) };
}

const split = (text: string): string[] => text.split(",").map((part) => part.trim());

function parse(network: string): { address: string; prefix: number } | undefined {
  const [, address = "", prefix] = /^([^/%]*)(?:\/(\d{1,3}))?$/.exec(network) ?? [];
  const most = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  const given = prefix === undefined ? most : Number(prefix);
  return most === -1 || given > most ? undefined : { address, prefix: given };
}

/**
 * Those who may be one and the same: an address of IPv4, or the /64 that one of IPv6 is in, which is what the smallest
 * customer of a provider has, and can take as many addresses from as he likes.
 */
export function neighboursOf(address: string): string {
  // Without a colon, or with an address of IPv4 at its end, it has no more than one of IPv4.
  if (!isIPv6(address) || address.includes(".")) return address;
  return `${groupsOf(address)
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(":")}::/64`;
}

/** The eight numbers of an address of IPv6; the last two are one of IPv4 where it ends in one. */
function groupsOf(address: string): number[] {
  // Written as URLs have it: no zone, no dots, and nothing left out but where :: stands.
  const { hostname } = new URL(`http://[${address.split("%", 1).join("")}]`);
  const [first = [], last = []] = hostname
    .slice(1, -1)
    .split("::")
    .map((part) => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16))));
  return [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last];
}

/**
 * The address of IPv4 at which ends what is sent to one of IPv6: to one that is mapped (::ffff:0:0/96), that a gateway
 * of NAT64 translates (64:ff9b::/96), or that 6to4 wraps (2002::/16).
 */
export function ipv4Within(address: string): string | undefined {
  if (!isIPv6(address)) return undefined;
  const groups = groupsOf(address);
  const begin = groups.slice(0, 6).join();
  if (begin === "0,0,0,0,0,65535" || begin === `${0x64},${0xff9b},0,0,0,0`) return dotted(groups.slice(6));
  return groups[0] === 0x2002 ? dotted(groups.slice(1, 3)) : undefined;
}

const dotted = (groups: readonly number[]): string =>
  groups.flatMap((group) => [group >> 8, group & 255]).join(".");

const loopback = readNetworks("127.0.0.0/8,::1");

/** Whether only this machine can reach what listens there. */
export const isLoopback = (host: string): boolean => host === "localhost" || loopback.has(host);

/** What is wrong with an address to listen on: it is one by itself, or a name. */
export const hostFault = (host: string): string | undefined =>
  isIP(host) !== 0 || /^[\w-]+(?:\.[\w-]+)*\.?$/.test(host)
    ? undefined
    : "must be an address such as 0.0.0.0 or ::, or the name of a host, without brackets, scheme or port";
