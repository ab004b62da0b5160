import { createPrivateKey, X509Certificate } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { checkRegularFile, fileFaultOf } from "../../domain/regular-file.ts";
import type { UrlVariable } from "./fitness.ts";

/** What a file must hold that a parameter of a URL names, and what throws where it does not. */
const certificates = { what: "certificates in PEM", read: (text: string) => new X509Certificate(text) };
const key = { what: "a private key in PEM that needs no passphrase", read: createPrivateKey };

const parameters = Object.entries({ sslrootcert: certificates, sslcert: certificates, sslkey: key });

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
      throw fault(fileFaultOf(error), error);
    }
    try {
      read(text);
    } catch (error) {
      throw fault(`it must hold ${what}`, error);
    }
  }
}

function readRegularFile(path: string): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    checkRegularFile(fstatSync(file));
    return readFileSync(file, "utf8");
  } finally {
    closeSync(file);
  }
}
