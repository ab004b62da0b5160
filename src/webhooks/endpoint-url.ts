import { isIP } from "node:net";
import { wrongField } from "../domain/batch-job-error.ts";
import { isLoopback } from "../domain/networks.ts";
import { type ConnectPolicy, mayConnect } from "./addresses.ts";

export type { ConnectPolicy } from "./addresses.ts";

export const mostCharacters = 2_048;

/**
 * The URL of an endpoint as it is kept: its host as it is connected to, whatever form it is given in. Where a name
 * leads is looked at whenever something is sent; an address that nothing may be sent to is refused here already.
 */
export function readEndpointUrl(text: string, policy: ConnectPolicy): string {
  const url = text.length <= mostCharacters ? URL.parse(text) : null;
  const fault =
    url === null
      ? `must be a URL of at most ${mostCharacters} characters, such as https://example.com/webhooks`
      : faultOf(url, policy);
  if (url !== null && fault === undefined) return url.href;
  throw wrongField("url", `it ${fault}`);
}

/** The host of a URL as an address has no brackets. */
export const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, "$1");

function faultOf(url: URL, policy: ConnectPolicy): string | undefined {
  const host = hostOf(url);
  if (url.protocol !== "https:" && url.protocol !== "http:") return "must begin with https://";
  if (url.protocol === "http:" && !(policy.allowInsecure && isLoopback(host)))
    return "must begin with https://; http:// does only for loopback, such as http://127.0.0.1:3000/, and where the service is run with WEBHOOK_ALLOW_INSECURE=true";
  if (url.username !== "" || url.password !== "")
    return "must have no user name and no password; a receiver knows by the signature who sends";
  if (url.hash !== "") return "must end before its #; what follows is never sent";
  const address = host === "localhost" ? "127.0.0.1" : host;
  if (isIP(address) !== 0 && !mayConnect(address, url.protocol, policy))
    return `must lead to a public address, which ${host} is not, or to a network that WEBHOOK_ALLOWED_NETWORKS names`;
  return undefined;
}
