import { execFileSync } from "node:child_process";
import { join } from "node:path";

/** Certificates are made by openssl, which most systems have; what needs one is left out where it is missing. */
export const hasOpenssl = ((): boolean => {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

/** A self-signed certificate of the host `localhost`, and its key, as files in this directory. */
export function makeCertificate(directory: string): { certificate: string; key: string } {
  const [certificate, key] = [join(directory, "localhost.crt"), join(directory, "localhost.key")];
  const files = ["-keyout", key, "-out", certificate];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  const args = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", ...files, ...subject];
  execFileSync("openssl", args, { stdio: "ignore" });
  return { certificate, key };
}
