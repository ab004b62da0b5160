import { ipv4Within, isLoopback, type Networks, readNetworks } from "../domain/networks.ts";

/** Where webhooks may be sent to beside public addresses, over https. */
export type ConnectPolicy = {
  /** Over http too, to this machine's loopback and nowhere else. */
  readonly allowInsecure: boolean;
  /** Exceptions. Addresses in which one of IPv4 stands need one for that too. */
  readonly allowedNetworks: Networks | undefined;
};

/** Whatever is not in these is loopback, private, local to a link, multicast, reserved, or not given to anybody yet. */
const unicast = readNetworks("0.0.0.0/0,2000::/3");

/** What is no public address all the same; see IANA's registries of special-purpose addresses. */
const special = readNetworks(
  [
    "0.0.0.0/8", // this network
    "10.0.0.0/8", // private
    "100.64.0.0/10", // shared by the customers of a provider
    "127.0.0.0/8", // loopback
    "168.63.129.16", // what the machines of a cloud ask about themselves
    "169.254.0.0/16", // local to a link, and what the machines of most clouds ask about themselves
    "172.16.0.0/12", // private
    "192.0.0.0/24", // protocols
    "192.0.2.0/24", // documentation
    "192.88.99.0/24", // relays of 6to4
    "192.168.0.0/16", // private
    "198.18.0.0/15", // benchmarks
    "198.51.100.0/24", // documentation
    "203.0.113.0/24", // documentation
    "224.0.0.0/3", // multicast, reserved, broadcast
    "2001::/23", // protocols, Teredo and benchmarks among them
    "2001:db8::/32", // documentation
    "2002::/16", // 6to4
    "3fff::/20", // documentation
  ].join(","),
);

/** Whether a connection may be made to an address, which must be one as Node writes it. */
export const mayConnect = (
  address: string,
  protocol: string,
  { allowInsecure, allowedNetworks }: ConnectPolicy,
): boolean =>
  protocol === "https:" ? isOpen(address, allowedNetworks) : allowInsecure && isLoopback(address);

function isOpen(address: string, allowed: Networks | undefined): boolean {
  const within = ipv4Within(address);
  if (within !== undefined && !isOpen(within, allowed)) return false;
  return (allowed?.has(address) ?? false) || (unicast.has(address) && !special.has(address));
}
