// oxlint-disable-next-line import/no-unassigned-import -- what @peculiar/x509 is built on looks for it
import "reflect-metadata";
import { randomBytes, type webcrypto } from "node:crypto";
import { isIP } from "node:net";
import {
  BasicConstraintsExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

/** A certificate and its key, in PEM. */
export type Pair = { readonly cert: string; readonly key: string };

/** Issues certificates that nobody trusts but who is told to. */
export type Authority = {
  readonly cert: string;
  /**
   * For these hosts or addresses, `localhost` and 127.0.0.1 if not said, or for a client; it began a day ago and lasts
   * for a day if not said.
   */
  issue(given?: {
    name?: string;
    hosts?: readonly string[];
    beginsInMs?: number;
    lastsMs?: number;
  }): Promise<Pair>;
};

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const dayMs = 24 * 60 * 60 * 1_000;

const makeKeys = () => crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);

const lasting = (ms: number, beginsInMs = -dayMs) => ({
  serialNumber: `01${randomBytes(8).toString("hex")}`,
  notBefore: new Date(Date.now() + beginsInMs),
  notAfter: new Date(Date.now() + ms),
  signingAlgorithm: algorithm,
});

async function inPem(certificate: X509Certificate, privateKey: webcrypto.CryptoKey): Promise<Pair> {
  const key = await crypto.subtle.exportKey("pkcs8", privateKey);
  return { cert: certificate.toString("pem"), key: PemConverter.encode(key, "PRIVATE KEY") };
}

export async function createAuthority(name = "CN=test authority"): Promise<Authority> {
  const keys = await makeKeys();
  const own = await X509CertificateGenerator.createSelfSigned({
    ...lasting(dayMs),
    name,
    keys,
    extensions: [new BasicConstraintsExtension(true, 1, true)],
  });
  return {
    cert: own.toString("pem"),
    async issue({
      name: subject = "localhost",
      hosts = ["localhost", "127.0.0.1"],
      beginsInMs,
      lastsMs = dayMs,
    } = {}) {
      const issued = await makeKeys();
      const certificate = await X509CertificateGenerator.create({
        ...lasting(lastsMs, beginsInMs),
        subject: `CN=${subject}`,
        issuer: own.subject,
        publicKey: issued.publicKey,
        signingKey: keys.privateKey,
        extensions: [
          new SubjectAlternativeNameExtension(
            hosts.map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value })),
          ),
        ],
      });
      return await inPem(certificate, issued.privateKey);
    },
  };
}

/** A certificate of the host `localhost` that nobody has signed but itself. */
export async function createSelfSigned(): Promise<Pair> {
  const keys = await makeKeys();
  const extensions = [new SubjectAlternativeNameExtension([{ type: "dns", value: "localhost" }])];
  const given = { ...lasting(dayMs), name: "CN=localhost", keys, extensions };
  return await inPem(await X509CertificateGenerator.createSelfSigned(given), keys.privateKey);
}
