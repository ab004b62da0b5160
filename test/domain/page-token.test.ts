import { describe, expect, test } from "vitest";
import { readPageToken, writePageToken } from "../../src/domain/page-token.ts";
import { refusal } from "../support/refusal.ts";

const scope = ["jobs", "organization-1", ["pending"], "spring"];

const isCursor = (keys: readonly unknown[]): keys is [number, string] =>
  keys.length === 2 && typeof keys[0] === "number" && typeof keys[1] === "string";

const read = (token: string, of: readonly unknown[] = scope) => readPageToken(token, of, isCursor);

const encode = (text: string) => Buffer.from(text).toString("base64url");

const refused = {
  reason: "invalid_page_token",
  message: expect.stringContaining("use the next_page_token of an answer to the same request"),
  metadata: { field: "page_token" },
};

const good = writePageToken(scope, [1_800_000_000_000, "id-1"]);
const digest: unknown = JSON.parse(Buffer.from(good, "base64url").toString())[0];

describe("a page token", () => {
  test("gives back the keys that it was written with", () => {
    expect(read(good)).toEqual([1_800_000_000_000, "id-1"]);
  });

  test("holds only characters that need no escaping in a URL", () => {
    expect(writePageToken(scope, [1, "\u{1F600}?&/+ "])).toMatch(/^[\w-]+$/);
  });

  test("that is empty means the first page", () => {
    expect(read("")).toBeUndefined();
  });
});

describe("refused", () => {
  test.each([
    ["another list's token", ["contacts", "organization-1", ["pending"], "spring"]],
    ["another organization's token", ["jobs", "organization-2", ["pending"], "spring"]],
    ["a token of another status filter", ["jobs", "organization-1", ["running"], "spring"]],
    ["a token of another name filter", ["jobs", "organization-1", ["pending"], "Spring"]],
    ["a token of a filter that reads the same", ["jobs", "organization-1", "pending", "spring"]],
  ])("%s", async (_, other) => {
    expect(await refusal(() => read(good, other))).toEqual(refused);
  });

  test("every beginning of a token", async () => {
    const beginnings = Array.from({ length: good.length - 2 }, (_, i) => good.slice(0, i + 1));
    const refusals = await Promise.all(beginnings.map((token) => refusal(() => read(token))));
    expect(refusals).toEqual(beginnings.map(() => refused));
  });

  test.each([
    ["words", "next page please"],
    ["no base64", "\u{1F600}"],
    ["plain JSON", JSON.stringify([digest, 1, "id-1"])],
    ["a very long token", "A".repeat(1_000_000)],
    ["null", encode("null")],
    ["a number", encode("17")],
    ["a string", encode('"abc"')],
    ["an object", encode("{}")],
    ["an empty list", encode("[]")],
    ["a deep list", encode("[".repeat(100_000) + "]".repeat(100_000))],
    ["keys without a digest", encode(JSON.stringify([1, "id-1"]))],
    ["keys under a made-up digest", encode(JSON.stringify(["0123456789abcdef", 1, "id-1"]))],
    ["a digest without keys", encode(JSON.stringify([digest]))],
    ["a key too few", encode(JSON.stringify([digest, 1]))],
    ["a key too many", encode(JSON.stringify([digest, 1, "id-1", 2]))],
    ["keys of other types", encode(JSON.stringify([digest, "1", 2]))],
    ["keys in a list of their own", encode(JSON.stringify([digest, [1, "id-1"]]))],
  ])("%s", async (_, token) => {
    expect(await refusal(() => read(token))).toEqual(refused);
  });
});
