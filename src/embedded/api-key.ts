import { readFile, writeFile } from "node:fs/promises";
import { generateApiKey, isApiKey } from "../domain/api-key.ts";

/** The API key in a file that only its owner can read, made at the first call. */
export async function keepApiKey(file: string): Promise<{ key: string; file: string; isNew: boolean }> {
  const kept = await readFile(file, "utf8").catch(() => "");
  if (isApiKey(kept.trim())) return { key: kept.trim(), file, isNew: false };
  const key = generateApiKey();
  await writeFile(file, `${key}\n`, { mode: 0o600 });
  return { key, file, isNew: true };
}
