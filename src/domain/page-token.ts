import { createHash } from "node:crypto";
import { BatchJobError } from "./batch-job-error.ts";

/** What a page token is good for: the list, its filters, and whose it is. */
export type PageScope = readonly unknown[];

const digest = (scope: PageScope): string =>
  createHash("sha256").update(JSON.stringify(scope)).digest("base64url").slice(0, 16);

/** A token that goes on after the entry with these keys. */
export const writePageToken = (scope: PageScope, keys: readonly (string | number)[]): string =>
  Buffer.from(JSON.stringify([digest(scope), ...keys])).toString("base64url");

/** Whether a key is a time in milliseconds. */
export const isTimeMs = (key: unknown): key is number =>
  Number.isInteger(key) && Math.abs(Number(key)) <= 8.64e15;

/** The keys in a token, checked by `isKeys`; undefined for the first page. Anything else is invalid_page_token. */
export function readPageToken<K extends readonly unknown[]>(
  token: string,
  scope: PageScope,
  isKeys: (keys: readonly unknown[]) => keys is K,
): K | undefined {
  if (token === "") return undefined;
  try {
    const [seen, ...keys]: unknown[] = JSON.parse(Buffer.from(token, "base64url").toString());
    if (seen === digest(scope) && isKeys(keys)) return keys;
  } catch (error) {
    if (!(error instanceof SyntaxError) && !(error instanceof TypeError)) throw error;
  }
  throw new BatchJobError(
    "invalid_page_token",
    "The page_token is not one of this list; use the next_page_token of an answer to the same request, or leave it empty.",
    { field: "page_token" },
  );
}
