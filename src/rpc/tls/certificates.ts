import type { Server, TlsOptions } from "node:tls";
import type { Logger } from "pino";
import { startServiceLoop } from "../../vitals/loops.ts";
import { createFileReader, type FileReader, type Identity, readIdentity, type TlsFiles } from "./files.ts";

/** What the listeners show of themselves, kept as it is in the files. */
export type Certificates = AsyncDisposable & {
  /** What a server begins with. */
  readonly options: TlsOptions;
  /** Has a server use each new identity for connections to come. */
  keepFresh(server: Server): void;
};

/** Is told, at each look at the files, until when the certificate lasts, and whether the files can be used. */
export type OnLook = (seen: { readonly expiresAt: Date; readonly isFit: boolean }) => void;

/**
 * Their content is looked at: a rename, a switched symbolic link and a file that is written again are alike then. This
 * is the usual distance.
 */
const usualLookMs = 2_000;

/**
 * Reads the files, which throws if they cannot be used, and goes on looking at them. What can be used is used at once.
 * What cannot leaves all as it was; it is told once, if it is still there at the next look: a certificate and its key
 * are seldom replaced in one moment. Disposal waits for no reading that hangs.
 */
export async function openCertificates(
  files: TlsFiles,
  {
    logger,
    onLook,
    lookMs = usualLookMs,
    reader = createFileReader(),
  }: { logger: Logger; onLook: OnLook; lookMs?: number; reader?: FileReader },
): Promise<Certificates> {
  let current = await readIdentity(files, reader);
  const servers = new Set<Server>();
  let suspicion: string | undefined;
  let told: string | undefined;

  function use(identity: Identity): void {
    current = identity;
    for (const server of servers) server.setSecureContext(identity.options);
    logger.info(
      { expiresAt: identity.expiresAt },
      "The TLS files have changed and are used for new connections",
    );
  }

  /** One whose time is over, or has not come, is no better than one whose is now. */
  function checkRenewal(renewed: Identity): void {
    const why = whyNotNow(renewed);
    if (why === undefined || whyNotNow(current) !== undefined) return;
    throw new Error(`TLS_CERT_FILE: ${files.certFile} cannot be used: ${why}.`);
  }

  async function look(signal: AbortSignal): Promise<void> {
    try {
      const identity = await unlessStopped(readIdentity(files, reader), signal);
      if (identity.digest !== current.digest) {
        checkRenewal(identity);
        use(identity);
      } else if (told !== undefined) {
        logger.info("The TLS files can be used again; they are those in use");
      }
      suspicion = told = undefined;
    } catch (error) {
      if (signal.aborted) return;
      const sentence = error instanceof Error ? error.message : String(error);
      if (sentence === suspicion && sentence !== told) {
        told = sentence;
        logger.error(`The TLS files cannot be used now; those read before stay in use. ${sentence}`);
      }
      suspicion = sentence;
    }
    onLook({ expiresAt: current.expiresAt, isFit: told === undefined });
  }

  const why = whyNotNow(current);
  if (why !== undefined) logger.warn(`Clients will refuse the certificate in TLS_CERT_FILE: ${why}`);
  const looking = startServiceLoop("the look at the TLS files", {
    async pass({ signal }) {
      await look(signal);
      return lookMs;
    },
    retryMs: lookMs,
    logger,
  });

  return {
    get options() {
      const requestCert = files.clientCaFile !== undefined;
      return { ...current.options, requestCert, rejectUnauthorized: requestCert };
    },
    keepFresh(server) {
      servers.add(server);
      server.once("close", () => servers.delete(server));
    },
    [Symbol.asyncDispose]: () => looking[Symbol.asyncDispose](),
  };
}

/** What the work answers, unless the signal is given first. */
async function unlessStopped<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason);
  signal.addEventListener("abort", stop);
  try {
    return await Promise.race([work, stopped]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function whyNotNow({ beginsAt, expiresAt }: Identity): string | undefined {
  const nowMs = Date.now();
  if (expiresAt.getTime() <= nowMs) return `it expired at ${expiresAt.toISOString()}`;
  return beginsAt.getTime() <= nowMs ? undefined : `it is not valid before ${beginsAt.toISOString()}`;
}
