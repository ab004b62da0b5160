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
  const [head = "", tail = ""] = address.split("%", 1).join("").split("::");
  const [first, last] = [groupsOf(head), groupsOf(tail)];
  const all = [...first, ...Array<number>(Math.max(0, 8 - first.length - last.length)).fill(0), ...last];
  return `${all
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(":")}::/64`;
}

const groupsOf = (part: string): number[] =>
  part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));

const loopback = readNetworks("127.0.0.0/8,::1");

/** Whether only this machine can reach what listens there. */
export const isLoopback = (host: string): boolean => host === "localhost" || loopback.has(host);

/** What is wrong with an address to listen on: it is one by itself, or a name. */
export const hostFault = (host: string): string | undefined =>
  isIP(host) !== 0 || /^[\w-]+(?:\.[\w-]+)*\.?$/.test(host)
    ? undefined
    : "must be an address such as 0.0.0.0 or ::, or the name of a host, without brackets, scheme or port";
