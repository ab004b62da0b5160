import { createPrivateKey, X509Certificate } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import type { UrlVariable } from "./fitness.ts";

/** What a file must hold that a parameter of a URL names, and what throws where it does not. */
const certificates = { what: "certificates in PEM", read: (text: string) => new X509Certificate(text) };
const key = { what: "a private key in PEM that needs no passphrase", read: createPrivateKey };

const parameters = Object.entries({ sslrootcert: certificates, sslcert: certificates, sslkey: key });

const reasons: Record<string, string> = {
  ENOENT: "there is no such file",
  EACCES: "this user may not read it",
  ENXIO: "it is no regular file",
};

/** Throws a sentence if a file that the URL names for TLS cannot be used: the driver would name neither. */
export function checkUrlFiles(url: string, variable: UrlVariable): void {
  const query = new URLSearchParams(/\?([^#]*)/.exec(url)?.[1]);
  for (const [parameter, { what, read }] of parameters) {
    const path = query.getAll(parameter).at(-1);
    if (path === undefined || path === "") continue;
    const fault = (reason: string, cause: unknown) =>
      new Error(`${variable}: the file of ${parameter}, ${path}, cannot be used: ${reason}.`, { cause });
    let text: string;
    try {
      text = readRegularFile(path);
    } catch (error) {
      const { code = "", message } = error as NodeJS.ErrnoException;
      throw fault(reasons[code] ?? message, error);
    }
    try {
      read(text);
    } catch (error) {
      throw fault(`it must hold ${what}`, error);
    }
  }
}

/** Reads nothing that is no file: a pipe would be waited for without end. */
function readRegularFile(path: string): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = fstatSync(file);
    if (found.isDirectory()) throw new Error("it is a directory");
    if (!found.isFile()) throw new Error("it is no regular file");
    return readFileSync(file, "utf8");
  } finally {
    closeSync(file);
  }
}
