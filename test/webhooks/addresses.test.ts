import { describe, expect, test } from "vitest";
import { BatchJobError } from "../../src/domain/batch-job-error.ts";
import { readNetworks } from "../../src/domain/networks.ts";
import { type ConnectPolicy, readEndpointUrl } from "../../src/webhooks/endpoint-url.ts";
import { createSender } from "../../src/webhooks/sending.ts";
import { message } from "./receiver.ts";

const closed: ConnectPolicy = { allowInsecure: false, allowedNetworks: undefined };
const except = (networks: string): ConnectPolicy => ({
  allowInsecure: false,
  allowedNetworks: readNetworks(networks),
});
const insecure: ConnectPolicy = { allowInsecure: true, allowedNetworks: undefined };

/** What refuses a URL, or what it is kept as. */
function reading(text: string, policy: ConnectPolicy): string | BatchJobError {
  try {
    return readEndpointUrl(text, policy);
  } catch (error) {
    return error as BatchJobError;
  }
}

const refused = (part: string) =>
  expect.objectContaining({
    reason: "invalid_argument",
    message: expect.stringMatching(
      new RegExp(`^The request's field url is wrong: it [^\\n]*${part}[^\\n]*\\.$`),
    ),
  });

/** What happens to a URL when something is sent to it, however it came to be one of an endpoint. */
async function sending(url: string, policy: ConnectPolicy) {
  const sender = createSender(policy);
  const { status, failure } = await sender.send({ ...message, url });
  await sender.close();
  return { status, failure };
}

const blocked = { status: undefined, failure: "address_blocked" };

describe("no endpoint may be, and nothing is sent to", () => {
  test.each([
    ["loopback", "https://127.0.0.1/"],
    ["loopback by its name", "https://localhost/"],
    ["loopback in other letters", "https://LOCALHOST:8443/"],
    ["another loopback", "https://127.255.255.254/"],
    ["loopback as one number", "https://2130706433/"],
    ["loopback as one hexadecimal number", "https://0x7f000001/"],
    ["loopback as one octal number", "https://017700000001/"],
    ["loopback with an octal part", "https://0177.0.0.1/"],
    ["loopback with a hexadecimal part", "https://0x7f.0.0.1/"],
    ["loopback with parts left out", "https://127.1/"],
    ["loopback with parts left out, hexadecimal", "https://0x7f.1/"],
    ["loopback with a dot at its end", "https://127.0.0.1./"],
    ["loopback with escaped dots", "https://127%2e0%2e0%2e1/"],
    ["loopback in wide digits", "https://１２７.０.０.１/"],
    ["loopback in circled digits", "https://①②⑦.⓪.⓪.①/"],
    ["loopback with ideographic stops", "https://127。0。0。1/"],
    ["this network", "https://0.0.0.0/"],
    ["this network, as nothing but 0", "https://0/"],
    ["this network, any of it", "https://0.1.2.3/"],
    ["private, 10", "https://10.1.2.3/"],
    ["private, 10, octal", "https://012.1.2.3/"],
    ["private, 172.16", "https://172.16.0.1/"],
    ["private, 172.31", "https://172.31.255.255/"],
    ["private, 192.168", "https://192.168.0.1/"],
    ["private, 192.168, as one number", "https://3232235521/"],
    ["local to the link", "https://169.254.1.1/"],
    ["what a machine asks about itself", "https://169.254.169.254/latest/meta-data/"],
    ["what a machine asks about itself, hexadecimal", "https://0xa9fea9fe/"],
    ["what a machine asks about itself, in shared addresses", "https://100.100.100.200/"],
    ["what a machine asks about itself, in addresses of protocols", "https://192.0.0.192/"],
    ["what a machine asks about itself, in public addresses", "https://168.63.129.16/"],
    ["shared", "https://100.64.0.1/"],
    ["benchmarks", "https://198.19.255.255/"],
    ["documentation, 192.0.2", "https://192.0.2.1/"],
    ["documentation, 198.51.100", "https://198.51.100.1/"],
    ["documentation, 203.0.113", "https://203.0.113.1/"],
    ["a relay of 6to4", "https://192.88.99.1/"],
    ["multicast", "https://224.0.0.1/"],
    ["reserved", "https://240.0.0.1/"],
    ["broadcast", "https://255.255.255.255/"],
    ["IPv6: loopback", "https://[::1]/"],
    ["IPv6: loopback in full", "https://[0000:0000:0000:0000:0000:0000:0000:0001]/"],
    ["IPv6: none", "https://[::]/"],
    ["IPv6: loopback of IPv4, mapped", "https://[::ffff:127.0.0.1]/"],
    ["IPv6: loopback of IPv4, mapped, hexadecimal", "https://[::ffff:7f00:1]/"],
    ["IPv6: private of IPv4, mapped, in full", "https://[0:0:0:0:0:ffff:0a00:0001]/"],
    ["IPv6: loopback of IPv4, compatible", "https://[::127.0.0.1]/"],
    ["IPv6: loopback of IPv4, translated", "https://[::ffff:0:127.0.0.1]/"],
    ["IPv6: NAT64 of loopback", "https://[64:ff9b::127.0.0.1]/"],
    ["IPv6: NAT64 of what a machine asks", "https://[64:ff9b::a9fe:a9fe]/"],
    ["IPv6: NAT64 of a public address", "https://[64:ff9b::8.8.8.8]/"],
    ["IPv6: NAT64 of one's own", "https://[64:ff9b:1::10.0.0.1]/"],
    ["IPv6: 6to4 of loopback", "https://[2002:7f00:1::]/"],
    ["IPv6: 6to4 of a public address", "https://[2002:808:808::1]/"],
    ["IPv6: Teredo", "https://[2001:0:7f00:1::1]/"],
    ["IPv6: benchmarks", "https://[2001:2::1]/"],
    ["IPv6: local to the link", "https://[fe80::1]/"],
    ["IPv6: local to a site", "https://[fec0::1]/"],
    ["IPv6: private", "https://[fc00::1]/"],
    ["IPv6: what a machine asks about itself", "https://[fd00:ec2::254]/"],
    ["IPv6: multicast", "https://[ff02::1]/"],
    ["IPv6: documentation", "https://[2001:db8::1]/"],
    ["IPv6: documentation, the newer one", "https://[3fff:abc::1]/"],
    ["IPv6: discarded", "https://[100::1]/"],
    ["IPv6: segments", "https://[5f00::1]/"],
    ["IPv6: nobody's yet", "https://[4000::1]/"],
  ])("%s: %s", async (_, url) => {
    expect(reading(url, closed)).toEqual(refused("must lead to a public address"));
    expect(await sending(url, closed)).toEqual(blocked);
  });

  test.each([
    ["http to loopback if it is not allowed", "http://127.0.0.1/", closed],
    ["http to loopback by its name if it is not allowed", "http://localhost/", closed],
    ["http to a public address", "http://8.8.8.8/", insecure],
    [
      "http to a network that is an exception",
      "http://10.0.0.1/",
      { ...except("10.0.0.0/8"), allowInsecure: true },
    ],
    ["http to this network, which Linux takes for loopback", "http://0.0.0.0/", insecure],
  ])("%s: %s", async (_, url, policy) => {
    expect(reading(url, policy)).toEqual(refused("must begin with https://"));
    expect(await sending(url, policy)).toEqual(blocked);
  });

  test.each([
    ["loopback over https, if http to it is allowed", "https://127.0.0.1/", insecure],
    ["NAT64 of an exception", "https://[64:ff9b::10.0.0.1]/", except("10.0.0.0/8")],
    [
      "a private address behind NAT64 that is an exception",
      "https://[64:ff9b::10.0.0.1]/",
      except("64:ff9b::/96"),
    ],
    ["a private address in 6to4 that is an exception", "https://[2002:a00:1::]/", except("2002::/16")],
    ["the neighbour of an exception", "https://10.0.0.2/", except("10.0.0.1")],
  ])("%s: %s", async (_, url, policy) => {
    expect(reading(url, policy)).toEqual(refused("must lead to a public address"));
    expect(await sending(url, policy)).toEqual(blocked);
  });
});

describe("an endpoint may be", () => {
  test.each([
    ["https://example.com", "https://example.com/", closed],
    ["HTTPS://Example.COM:443/a b?c=d", "https://example.com/a%20b?c=d", closed],
    ["https://bücher.example:8443/", "https://xn--bcher-kva.example:8443/", closed],
    ["https://8.8.8.8/", "https://8.8.8.8/", closed],
    ["https://0x8.8.8.010/", "https://8.8.8.8/", closed],
    ["https://[::ffff:8.8.8.8]/", "https://[::ffff:808:808]/", closed],
    ["https://[2606:4700:0:0:0:0:0:1111]/", "https://[2606:4700::1111]/", closed],
    ["https://9.255.255.255/", "https://9.255.255.255/", closed],
    ["https://11.0.0.0/", "https://11.0.0.0/", closed],
    ["https://100.63.255.255/", "https://100.63.255.255/", closed],
    ["https://100.128.0.0/", "https://100.128.0.0/", closed],
    ["https://172.15.255.255/", "https://172.15.255.255/", closed],
    ["https://172.32.0.0/", "https://172.32.0.0/", closed],
    ["https://198.20.0.0/", "https://198.20.0.0/", closed],
    ["https://223.255.255.255/", "https://223.255.255.255/", closed],
    ["https://10.1.2.3/", "https://10.1.2.3/", except("10.0.0.0/8")],
    ["https://[::ffff:10.1.2.3]/", "https://[::ffff:a01:203]/", except("10.0.0.0/8")],
    ["https://[fd00::1]/", "https://[fd00::1]/", except("192.168.0.0/16,fd00::/8")],
    ["https://[64:ff9b::8.8.8.8]/", "https://[64:ff9b::808:808]/", except("64:ff9b::/96")],
    ["https://[64:ff9b::10.0.0.1]/", "https://[64:ff9b::a00:1]/", except("64:ff9b::/96,10.0.0.0/8")],
    ["https://localhost/", "https://localhost/", except("127.0.0.0/8")],
    ["http://localhost:3000/", "http://localhost:3000/", insecure],
    ["http://127.0.0.1:3000", "http://127.0.0.1:3000/", insecure],
    ["http://[::1]:3000/", "http://[::1]:3000/", insecure],
  ])("%s, which is kept as %s", (text, kept, policy) => {
    expect(reading(text, policy)).toBe(kept);
  });
});

describe("no endpoint may be what is no URL that something can be sent to", () => {
  test.each([
    ["", "must be a URL"],
    ["example.com/hooks", "must be a URL"],
    ["//example.com/", "must be a URL"],
    ["https://", "must be a URL"],
    ["https://exa mple.com/", "must be a URL"],
    ["https://1.2.3.256/", "must be a URL"],
    ["https://[fe80::1%25eth0]/", "must be a URL"],
    ["https://example.com:65536/", "must be a URL"],
    [`https://example.com/${"a".repeat(2_029)}`, "at most 2048 characters"],
    ["ftp://example.com/", "must begin with https://"],
    ["wss://example.com/", "must begin with https://"],
    ["file:///etc/passwd", "must begin with https://"],
    ["javascript:alert(1)", "must begin with https://"],
    ["http://example.com/", "must begin with https://"],
    ["https://user:password@example.com/", "must have no user name and no password"],
    ["https://user@example.com/", "must have no user name and no password"],
    ["https://:password@example.com/", "must have no user name and no password"],
    ["https://example.com@10.0.0.1/", "must have no user name and no password"],
    ["https://example.com/#part", "must end before its #"],
  ])("%j", (text, part) => {
    expect(reading(text, insecure)).toEqual(refused(part));
    expect((reading(text, insecure) as Error).message).not.toContain("password@");
  });
});
