import { describe, expect, test } from "vitest";
import { readNetworks } from "../../src/domain/networks.ts";
import { findAddressThrough } from "../../src/rpc/gate/caller-address.ts";

const find = findAddressThrough(readNetworks("10.0.0.0/8,fd00::/8,192.0.2.1"));

describe("the caller's address, of a call from a trusted proxy", () => {
  test.each([
    ["is the proxy's where it says nothing", {}, "10.0.0.1"],
    ["is the last one", { "x-forwarded-for": "198.51.100.1, 203.0.113.9" }, "203.0.113.9"],
    [
      "is the last one before other proxies",
      { "x-forwarded-for": "203.0.113.9, 192.0.2.1,10.1.1.1" },
      "203.0.113.9",
    ],
    ["is the first one where all are proxies", { "x-forwarded-for": "10.9.9.9, 10.1.1.1" }, "10.9.9.9"],
    ["has no port", { "x-forwarded-for": "203.0.113.9:4711" }, "203.0.113.9"],
    ["may be of IPv6", { "x-forwarded-for": "2001:db8::9" }, "2001:db8::9"],
    ["may be of IPv6 with a port", { "x-forwarded-for": "[2001:db8::9]:4711" }, "2001:db8::9"],
    ["is the proxy's where it names no address", { "x-forwarded-for": "203.0.113.9, unknown" }, "10.0.0.1"],
    ["is the proxy's where it says nonsense", { "x-forwarded-for": "203.0.113.9, 1.2.3" }, "10.0.0.1"],
    [
      "is the last one of Forwarded",
      { forwarded: 'for=198.51.100.1;proto=https, for="203.0.113.9:80"' },
      "203.0.113.9",
    ],
    ["is of IPv6 in Forwarded", { forwarded: 'For="[2001:db8::9]:80", for=10.1.1.1' }, "2001:db8::9"],
    ["is the proxy's where Forwarded hides it", { forwarded: "for=_hidden" }, "10.0.0.1"],
    ["is the proxy's where Forwarded is broken", { forwarded: 'for="203.0.113.9' }, "10.0.0.1"],
    [
      "is what both headers say",
      { forwarded: "for=203.0.113.9", "x-forwarded-for": "203.0.113.9" },
      "203.0.113.9",
    ],
    [
      "is the proxy's where they differ",
      { forwarded: "for=203.0.113.8", "x-forwarded-for": "203.0.113.9" },
      "10.0.0.1",
    ],
  ])("%s", (_, headers, address) => {
    expect(find("10.0.0.1", headers)).toEqual({ address, isProxied: true });
  });

  test("is found behind a proxy whose address is written as one of IPv6", () => {
    const found = find("::ffff:10.0.0.1", { "x-forwarded-for": "203.0.113.9" });
    expect(found).toEqual({ address: "203.0.113.9", isProxied: true });
  });

  test.each(["::ffff:203.0.113.9", "::FFFF:203.0.113.9"])(
    "is the same one where it is written as %s",
    (mapped) => {
      const one = { address: "203.0.113.9", isProxied: true };
      expect(find("10.0.0.1", { "x-forwarded-for": mapped })).toEqual(one);
      expect(find(mapped, {})).toEqual({ ...one, isProxied: false });
    },
  );
});

test("whoever is no trusted proxy is where the connection comes from", () => {
  const headers = { "x-forwarded-for": "203.0.113.9", forwarded: "for=203.0.113.9" };
  expect(find("198.51.100.1", headers)).toEqual({ address: "198.51.100.1", isProxied: false });
  expect(find(undefined, headers)).toEqual({ address: undefined, isProxied: false });
  const untrusting = findAddressThrough(undefined);
  expect(untrusting("10.0.0.1", headers)).toEqual({ address: "10.0.0.1", isProxied: false });
});
