import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";

/** Files beside a rediss:// URL: whom to trust instead of those that Node trusts, and who we are. */
export type RedisTlsFiles = {
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
};

/** What they hold. */
export type Tls = { readonly ca?: string; readonly cert?: string; readonly key?: string };

/** Reads the files; throws a sentence if one cannot be read, lacks the other, or would do nothing. */
export function readTls(url: string, { caFile, certFile, keyFile }: RedisTlsFiles): Tls {
  const given = { REDIS_CA_FILE: caFile, REDIS_CERT_FILE: certFile, REDIS_KEY_FILE: keyFile };
  const [first] = Object.entries(given).find(([, file]) => file !== undefined) ?? [];
  if (first !== undefined && !url.startsWith("rediss")) {
    throw new Error(`${first} is set, and REDIS_URL asks for no TLS; it must begin with rediss.`);
  }
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new Error("REDIS_CERT_FILE and REDIS_KEY_FILE belong together; set both, or neither.");
  }
  const read = (variable: keyof typeof given): string => {
    try {
      return readRegularFile(given[variable] ?? "");
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`The file of ${variable} cannot be read (${why}).`, { cause: error });
    }
  };
  return {
    ...(caFile === undefined ? {} : { ca: read("REDIS_CA_FILE") }),
    ...(certFile === undefined ? {} : { cert: read("REDIS_CERT_FILE"), key: read("REDIS_KEY_FILE") }),
  };
}

/** Reads nothing that is no file: a pipe would be waited for without end. */
function readRegularFile(path: string): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!fstatSync(file).isFile()) throw new Error("it is no regular file");
    return readFileSync(file, "utf8");
  } finally {
    closeSync(file);
  }
}
