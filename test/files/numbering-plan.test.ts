import * as fc from "fast-check";
import {
  type CountryCode,
  getCountries,
  getCountryCallingCode,
  getExampleNumber,
  parsePhoneNumberFromString,
} from "libphonenumber-js/max";
import examples from "libphonenumber-js/examples.mobile.json" with { type: "json" };
import { expect, test } from "vitest";
import { createPlanReader } from "../../src/files/numbering-plan.ts";

function byLibrary(written: string, region: CountryCode): string | undefined {
  const parsed = parsePhoneNumberFromString(written, { defaultCountry: region, extract: false });
  return parsed?.isValid() === true && parsed.ext === undefined ? parsed.number : undefined;
}

const regions = getCountries();
const readers = new Map(regions.map((region) => [region, createPlanReader(region)]));

/** A real number, changed a little, perhaps with what is dialed before it within the country, and with marks. */
const writtenNumbers = fc.constantFrom(...regions).chain((region) => {
  const national = getExampleNumber(region, examples)?.nationalNumber ?? "4155550100";
  const marks = fc.constantFrom("", "", "", " ", "-", ".", "/", ") ", " (");
  return fc
    .record({
      before: fc.constantFrom("", "", "0", "1", "8", "00", "(0)", getCountryCallingCode(region)),
      digits: fc.array(fc.nat(9), { minLength: 0, maxLength: national.length }),
      kept: fc.nat(national.length),
      marks: fc.array(marks, { minLength: 20, maxLength: 20 }),
    })
    .map(({ before, digits, kept, marks: between }) => {
      const number = `${before}${national.slice(0, kept)}${digits.join("").slice(0, Math.max(0, national.length - kept))}`;
      return {
        region,
        written: [...number]
          .map((digit, i) => `${digit}${i < number.length - 1 ? (between[i % 20] ?? "") : ""}`)
          .join(""),
      };
    });
});

test("a number that is read by its plan is the one that the library reads", () => {
  let read = 0;
  fc.assert(
    fc.property(writtenNumbers, ({ region, written }) => {
      const number = readers.get(region)?.(written);
      if (number !== undefined) read += 1;
      return number === undefined || number === byLibrary(written, region);
    }),
    { numRuns: 20_000 },
  );
  expect(read).toBeGreaterThan(1_000);
});

test.each([
  ["US", "(415) 555-0100", "+14155550100"],
  ["US", "415.555.0100", "+14155550100"],
  ["DE", "0151 23456789", "+4915123456789"],
  ["DE", "030/12345678", "+493012345678"],
  ["GB", "020 7183 8750", "+442071838750"],
  ["FR", "06 12 34 56 78", "+33612345678"],
] as const)("in %s %s is read without the library", (region, written, number) => {
  expect(createPlanReader(region)(written)).toBe(number);
});
