import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";

/** The key for the hashes of erased phones, in a file that only its owner can read, made at the first call. */
export async function keepErasureKey(file: string): Promise<string> {
  const kept = (await readFile(file, "utf8").catch(() => "")).trim();
  if (kept !== "") return kept;
  const key = randomBytes(32).toString("base64url");
  await writeFile(file, `${key}\n`, { mode: 0o600 });
  return key;
}
