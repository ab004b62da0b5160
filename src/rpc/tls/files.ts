import { createHash, createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { constants, open } from "node:fs/promises";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import { checkRegularFile, fileFaultOf } from "../../domain/regular-file.ts";
import { patiently } from "../../timing/patience.ts";

/** Where the certificate and its key are, in PEM, and whose certificates clients must then have. */
export type TlsFiles = {
  readonly certFile: string;
  readonly keyFile: string;
  readonly clientCaFile?: string | undefined;
};

/** What the files hold, once it is known to fit together. */
export type Identity = {
  readonly options: SecureContextOptions;
  /** The last of its certificates to begin does so then, and the first to end ends. */
  readonly beginsAt: Date;
  readonly expiresAt: Date;
  /** Tells it from every other. */
  readonly digest: string;
};

const settings = {
  certFile: "TLS_CERT_FILE",
  keyFile: "TLS_KEY_FILE",
  clientCaFile: "TLS_CLIENT_CA_FILE",
} as const;

type Part = keyof typeof settings;

/** Reads a file as latin1, and nothing that is no file. */
export async function readRegularFile(path: string): Promise<string> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  checkRegularFile(await file.stat());
  return await file.readFile("latin1");
}

export type FileReader = {
  /** Rejects if the file cannot be read, or takes too long. */
  read(path: string): Promise<string>;
  /** Whether no reading is under way in so long a time. */
  endsWithin(ms: number): Promise<boolean>;
};

/** A mount whose server is there answers far sooner. */
const longestReadMs = 5_000;

/**
 * Reads one file at a time, each within a time. A reading that hangs, as on a mount whose server is away, cannot be
 * ended, and holds one of the few threads that Node reads with: none is begun beside it.
 */
export function createFileReader(
  readFile: FileReader["read"] = readRegularFile,
  longestMs = longestReadMs,
): FileReader {
  const tooLate = () => new Error(`reading it takes longer than ${longestMs / 1_000} s`);
  let inHand: Promise<unknown> = Promise.resolve();
  return {
    async read(path) {
      await patiently(longestMs, inHand, tooLate);
      const reading = readFile(path);
      inHand = reading.catch(() => {});
      return await patiently(longestMs, reading, tooLate);
    },
    endsWithin: (ms) =>
      patiently(ms, inHand, tooLate).then(
        () => true,
        () => false,
      ),
  };
}

/** Reads the files; throws a sentence that names the setting whose file cannot be used, and says why. */
export async function readIdentity(
  files: TlsFiles,
  reader: FileReader = createFileReader(),
): Promise<Identity> {
  const fault = (part: Part, reason: string, cause?: unknown) =>
    new Error(`${settings[part]}: ${files[part]} cannot be used: ${reason}.`, { cause });

  async function read(part: Part): Promise<string> {
    try {
      return await reader.read(files[part] ?? "");
    } catch (cause) {
      throw fault(part, fileFaultOf(cause), cause);
    }
  }

  function certificatesIn(part: Part, text: string): [X509Certificate, ...X509Certificate[]] {
    try {
      const [first, ...others] = (text.match(wholeCertificate) ?? []).map((pem) => new X509Certificate(pem));
      const isWhole = text.split("-----BEGIN CERTIFICATE-----").length === others.length + 2;
      if (first !== undefined && isWhole) return [first, ...others];
    } catch {
      // It is not what it seems to be.
    }
    throw fault(part, "it must hold whole certificates in PEM");
  }

  function keyIn(text: string): KeyObject {
    if (/^-----BEGIN ENCRYPTED |^Proc-Type: 4,ENCRYPTED/m.test(text))
      throw fault("keyFile", "the key is encrypted; give one that needs no passphrase");
    try {
      return createPrivateKey(text);
    } catch (cause) {
      throw fault("keyFile", "it must hold a whole private key in PEM", cause);
    }
  }

  const cert = await read("certFile");
  const key = await read("keyFile");
  const ca = files.clientCaFile === undefined ? undefined : await read("clientCaFile");
  const chain = certificatesIn("certFile", cert);
  if (!chain[0].checkPrivateKey(keyIn(key)))
    throw fault("keyFile", `it is the key of another certificate than the first one in ${files.certFile}`);
  if (ca !== undefined) certificatesIn("clientCaFile", ca);
  const options = { cert, key, minVersion: "TLSv1.2", ...(ca !== undefined && { ca }) } as const;
  try {
    createSecureContext(options);
  } catch (cause) {
    throw fault("certFile", `TLS does not take it (${cause instanceof Error ? cause.message : ""})`, cause);
  }
  return {
    options,
    beginsAt: new Date(Math.max(...chain.map(({ validFrom }) => Date.parse(validFrom)))),
    expiresAt: new Date(Math.min(...chain.map(({ validTo }) => Date.parse(validTo)))),
    digest: createHash("sha256").update([cert, key, ca].join("\0")).digest("hex"),
  };
}

const wholeCertificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
