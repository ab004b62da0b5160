import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthority } from "./authority.ts";

export type CertificateFiles = { readonly certificate: string; readonly key: string };

/** A certificate authority of a test's own, and what it signs, as files. */
export type AuthorityFiles = Disposable & {
  /** The file of the authority's own certificate. */
  readonly certificate: string;
  /** A certificate of these hosts or addresses; `over` is one whose time is over. */
  issue(hosts: readonly string[], time?: "now" | "over"): Promise<CertificateFiles>;
};

const hourMs = 3_600_000;

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
      const { cert, key } = await authority.issue({ name: hosts[0] ?? "nobody", hosts, lastsMs });
      const files = { certificate: join(directory, `${issued}.crt`), key: join(directory, `${issued}.key`) };
      writeFileSync(files.certificate, cert);
      writeFileSync(files.key, key);
      return files;
    },
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}
