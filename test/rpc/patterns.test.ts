import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { expect, test } from "vitest";
import { CreateBatchJobRequestSchema } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { matches } from "../../src/rpc/requests/validation.ts";
import { root } from "../support/readme.ts";

const protos = join(root, "proto/callsheet/v1");

/** From the beginning to the end it has one set of characters, so that one look at each is enough. */
const ofOneSet = /^\^\[\^[^[\]]+\]\*\$$/;

test("every pattern in the proto names the characters that may be in a text, and no more", async () => {
  const files = (await readdir(protos)).filter((name) => name.endsWith(".proto"));
  const texts = await Promise.all(files.map((name) => readFile(join(protos, name), "utf8")));
  const patterns = texts.flatMap((text) =>
    Array.from(text.matchAll(/\bpattern( =|:) (".*")/g), ([, , literal = ""]) => String(JSON.parse(literal))),
  );
  expect(patterns.length).toBeGreaterThan(0);
  expect(patterns.filter((pattern) => !ofOneSet.test(pattern))).toEqual([]);
});

/** One of each kind of character, and those beside the bounds of the sets. */
const characters = [
  ...Array.from({ length: 0x300 }, (_, i) => String.fromCodePoint(i)),
  ...Array.from("\u2028\u2029\u200B\uFEFF\uFFFE\uFFFF\uD7FF\uE000\u{10000}\u{1F600}\u{10FFFF}"),
  "\uD800",
  "\uDBFF",
  "\uDC00",
  "\uDFFF",
  "\uDC00\uD800",
];

const withTexts = (text: string) =>
  create(CreateBatchJobRequestSchema, { name: text, description: text, fromPhoneNumberId: "pn_1" });

test("a text is judged as the validator's own expressions judge it, whatever is in it", () => {
  const [ours, theirs] = [createValidator({ regexMatch: matches }), createValidator()];
  const requests = characters.flatMap((c) => [c, `a${c}`, `${c}b`, `a${c}b\n`].map(withTexts));
  const judged = (validator: typeof ours) =>
    requests.map((request) => {
      const { kind, violations = [] } = validator.validate(CreateBatchJobRequestSchema, request);
      return `${kind} ${violations.map(({ ruleId, message }) => `${ruleId} ${message}`).join()}`;
    });
  const verdicts = judged(theirs);
  expect(new Set(verdicts).size).toBeGreaterThan(2);
  expect(judged(ours)).toEqual(verdicts);
});
