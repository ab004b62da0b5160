import type { Mutant } from "./mutants.ts";

const addresses = "src/webhooks/addresses.ts";
const addressesTest = "test/webhooks/addresses.test.ts";
const exchange = "src/webhooks/exchange.ts";
const sending = "src/webhooks/sending.ts";
const sendingTest = "test/webhooks/sending.test.ts";

/** Where webhooks are sent, and what receivers may do to who sends. */
export const webhooks: Mutant[] = [
  {
    guard: "an address that stands in another one must be one that webhooks may go to itself",
    file: addresses,
    text: "if (within !== undefined && !isOpen(within, allowed)) return false;",
    instead: "if (within !== undefined && isOpen(within, allowed)) return true;",
    test: addressesTest,
    title: "a private address behind NAT64 that is an exception",
  },
  {
    guard: "webhooks go to addresses that somebody has, and to no others",
    file: addresses,
    text: `readNetworks("0.0.0.0/0,2000::/3")`,
    instead: `readNetworks("0.0.0.0/0,::/0")`,
    test: addressesTest,
    title: "local to the link",
  },
  {
    guard: "webhooks go over http to loopback alone",
    file: addresses,
    text: `protocol === "https:" ? isOpen(address, allowedNetworks) : allowInsecure && isLoopback(address);`,
    instead: `protocol === "https:" ? isOpen(address, allowedNetworks) : allowInsecure;`,
    test: addressesTest,
    title: "http to",
  },
  {
    guard: "an endpoint's URL has no password, which would be sent and shown",
    file: "src/webhooks/endpoint-url.ts",
    text: `if (url.username !== "" || url.password !== "")`,
    instead: `if (url.username !== "" && url.password !== "")`,
    test: addressesTest,
    title: "user@example.com",
  },
  {
    guard: "addresses in the URL of a webhook are checked, though nobody looks them up",
    file: sending,
    text: "if (isIP(hostOf(url)) !== 0 && !mayConnect(hostOf(url), url.protocol, policy))",
    instead: "if (isIP(hostOf(url)) !== 0 && url.port === hostOf(url))",
    test: addressesTest,
    title: "https://127.0.0.1/",
  },
  {
    guard: "the addresses of a webhook's name are checked by who connects to them",
    file: "src/webhooks/checked-lookup.ts",
    text: "addresses.filter((address) => mayConnect(address, protocol, policy))",
    instead: "addresses.filter((address) => address !== protocol)",
    test: sendingTest,
    title: "that has another address the second time is not connected to there",
  },
  {
    guard: "an attempt to send a webhook ends in time, whatever the receiver does",
    file: exchange,
    text: "answer = await Promise.race([beginningOf(response), ended.promise]);",
    instead: "answer = await beginningOf(response);",
    test: sendingTest,
    title: "hangs in its body",
  },
  {
    guard: "of the answer to a webhook no more is read than is kept",
    file: exchange,
    text: "if (left <= 0) break;",
    instead: "if (left === 0) break;",
    test: sendingTest,
    title: "sends a gigabyte",
  },
  {
    guard: "a webhook that is redirected was not taken",
    file: exchange,
    text: "if (status >= 200 && status <= 299) return undefined;",
    instead: "if (status >= 200 && status <= 399) return undefined;",
    test: sendingTest,
    title: "redirects by",
  },
  {
    guard: "a connection of webhooks that its receiver has ended meanwhile makes no failure",
    file: sending,
    text: "if (!isStale || until.aborted) return came;",
    instead: "if (!isStale || came.failure) return came;",
    test: sendingTest,
    title: "that was kept and is ended by its receiver makes no failure",
  },
];
