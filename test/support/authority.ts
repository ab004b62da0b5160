import { webcrypto } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
// oxlint-disable-next-line import/no-unassigned-import -- the next one needs it to be there
import "reflect-metadata";
import {
  BasicConstraintsExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";

export type CertificateFiles = { readonly certificate: string; readonly key: string };

/** A certificate authority of a test's own, and what it signs, as files. */
export type Authority = Disposable & {
  /** The file of the authority's own certificate. */
  readonly certificate: string;
  /** A certificate of these hosts or addresses; `over` is one whose time is over. */
  issue(hosts: readonly string[], time?: "now" | "over"): Promise<CertificateFiles>;
};

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const dayMs = 86_400_000;

const makeKeys = () => webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);

async function pemOf(key: webcrypto.CryptoKey): Promise<string> {
  const bytes = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", key)).toString("base64");
  return `-----BEGIN PRIVATE KEY-----\n${bytes}\n-----END PRIVATE KEY-----\n`;
}

export async function makeAuthority(): Promise<Authority> {
  const directory = mkdtempSync(join(tmpdir(), "callsheet-authority-"));
  chmodSync(directory, 0o755);
  const keys = await makeKeys();
  const name = "CN=An authority of a test";
  const common = { issuer: name, signingAlgorithm: algorithm, signingKey: keys.privateKey };
  const own = await X509CertificateGenerator.create(
    {
      ...common,
      subject: name,
      notBefore: new Date(Date.now() - dayMs),
      notAfter: new Date(Date.now() + dayMs),
      publicKey: keys.publicKey,
      extensions: [new BasicConstraintsExtension(true)],
    },
    webcrypto,
  );
  const certificate = join(directory, "ca.crt");
  writeFileSync(certificate, own.toString("pem"));
  let issued = 0;
  return {
    certificate,
    async issue(hosts, time = "now") {
      issued += 1;
      const { publicKey, privateKey } = await makeKeys();
      const names = hosts.map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value }) as const);
      const made = await X509CertificateGenerator.create(
        {
          ...common,
          serialNumber: `0${issued}`,
          subject: `CN=${hosts[0]}`,
          notBefore: new Date(Date.now() - dayMs),
          notAfter: new Date(Date.now() + (time === "over" ? -3_600_000 : dayMs)),
          publicKey,
          extensions: [new SubjectAlternativeNameExtension(names)],
        },
        webcrypto,
      );
      const files = { certificate: join(directory, `${issued}.crt`), key: join(directory, `${issued}.key`) };
      writeFileSync(files.certificate, made.toString("pem"));
      writeFileSync(files.key, await pemOf(privateKey));
      return files;
    },
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}
