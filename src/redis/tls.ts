/** Files beside a rediss:// URL: whom to trust instead of those that Node trusts, and who we are. */
export type RedisTlsFiles = {
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
};

/** What they hold. */
export type Tls = { readonly ca?: string; readonly cert?: string; readonly key?: string };

/** Reads the files; throws a sentence if one cannot be read, lacks the other, or would do nothing. */
export async function readTls(
  url: string,
  { caFile, certFile, keyFile }: RedisTlsFiles,
  readFile: (path: string) => Promise<string>,
): Promise<Tls> {
  const given = { REDIS_CA_FILE: caFile, REDIS_CERT_FILE: certFile, REDIS_KEY_FILE: keyFile };
  const [first] = Object.entries(given).find(([, file]) => file !== undefined) ?? [];
  if (first !== undefined && !url.startsWith("rediss")) {
    throw new Error(`${first} is set, and REDIS_URL asks for no TLS; it must begin with rediss.`);
  }
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new Error("REDIS_CERT_FILE and REDIS_KEY_FILE belong together; set both, or neither.");
  }
  const read = async (variable: keyof typeof given): Promise<string> => {
    try {
      return await readFile(given[variable] ?? "");
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`The file of ${variable} cannot be read (${why}).`, { cause: error });
    }
  };
  return {
    ...(caFile === undefined ? {} : { ca: await read("REDIS_CA_FILE") }),
    ...(certFile === undefined
      ? {}
      : { cert: await read("REDIS_CERT_FILE"), key: await read("REDIS_KEY_FILE") }),
  };
}
