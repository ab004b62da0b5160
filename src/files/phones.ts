import { type CountryCode, isSupportedCountry, parsePhoneNumberFromString } from "libphonenumber-js/max";
import { BatchJobError } from "../domain/batch-job-error.ts";
import {
  type Flaw,
  type ReadPhone,
  asWritten,
  badPhone,
  isPhone,
  isMangled,
  longestWritten,
  plainPhone,
  readE164,
} from "../domain/contacts/contact.ts";
import { createPlanReader } from "./numbering-plan.ts";

/** Of what the metadata says; the widest of them, since a number that nobody has must not be called. */
export { getCountries as regions } from "libphonenumber-js/max";

const unseen = /[\u00AD\u200B-\u200F\u202A-\u202E\u2060-\u2069\uFEFF]/g;
const beyondAscii = /[^\u0020-\u007E]/;
const uri = /^\s*tel:/i;

const extension: Flaw = {
  reason: "extension_not_supported",
  field: "phone",
  rule: "must be without an extension, which is not dialed; take it out, or put it into a field",
};

const badNational = (region: CountryCode): Flaw => ({
  reason: "invalid_phone_format",
  field: "phone",
  rule: `must be a whole phone number as it is dialed in ${region}, or in international form with a plus sign`,
});

/** Reads what is not E.164 but for its marks. */
function readThere(written: string, region: CountryCode): string | Flaw {
  if (written.length > longestWritten || isMangled(written)) return badPhone(written);
  const text = asWritten(written);
  const seen = beyondAscii.test(text) ? text.replace(unseen, "") : text;
  const parsed = parsePhoneNumberFromString(seen.replace(uri, ""), {
    defaultCountry: region,
    extract: false,
  });
  if (parsed?.ext !== undefined) return extension;
  return parsed !== undefined && isPhone(parsed.number) && parsed.isValid()
    ? parsed.number
    : badNational(region);
}

/**
 * How phones are read: in E.164 but for spaces and marks, and, where a region is given (`US`, `DE`, …), also as they
 * are written and dialed there. Refuses what is no region.
 */
export function phoneReader(defaultRegion: string): ReadPhone {
  if (defaultRegion === "") return readE164;
  const region = defaultRegion.toUpperCase();
  if (!isSupportedCountry(region)) {
    throw new BatchJobError(
      "invalid_argument",
      "default_region must be the two letters of a country or territory that has phone numbers, such as US or DE.",
      { field: "default_region" },
    );
  }
  const readPlainly = createPlanReader(region);
  return (written) => {
    // Without a plus sign it is not E.164, whatever is taken out.
    const plain = written.includes("+") ? plainPhone(written) : readPlainly(written);
    return plain !== undefined && isPhone(plain) ? plain : readThere(written, region);
  };
}
