import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Pair, createAuthority, createSelfSigned } from "./authority.ts";

export type CertificateFiles = { readonly certificate: string; readonly key: string };

/** A certificate authority of a test's own, and what it signs, as files. */
export type AuthorityFiles = Disposable & {
  /** The file of the authority's own certificate. */
  readonly certificate: string;
  /** A certificate of these hosts or addresses; `over` is one whose time is over. */
  issue(hosts: readonly string[], time?: "now" | "over"): Promise<CertificateFiles>;
};

const hourMs = 3_600_000;

function write({ cert, key }: Pair, path: string): CertificateFiles {
  const files = { certificate: `${path}.crt`, key: `${path}.key` };
  writeFileSync(files.certificate, cert);
  writeFileSync(files.key, key);
  return files;
}

/** A self-signed certificate of the host `localhost`, and its key, in this directory. */
export const writeSelfSigned = async (directory: string): Promise<CertificateFiles> =>
  write(await createSelfSigned(), join(directory, "localhost"));

export async function createAuthorityFiles(): Promise<AuthorityFiles> {
  const authority = await createAuthority();
  const directory = mkdtempSync(join(tmpdir(), "callsheet-authority-"));
  chmodSync(directory, 0o755);
  const certificate = join(directory, "ca.crt");
  writeFileSync(certificate, authority.cert);
  let issued = 0;
  return {
    certificate,
    async issue(hosts, time = "now") {
      issued += 1;
      const lastsMs = time === "over" ? -hourMs : 24 * hourMs;
      const pair = await authority.issue({ name: hosts[0] ?? "nobody", hosts, lastsMs });
      return write(pair, join(directory, String(issued)));
    },
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}
