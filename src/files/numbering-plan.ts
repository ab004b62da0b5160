import { type CountryCode, Metadata } from "libphonenumber-js/max";

/** What a numbering plan has beyond what the library's types tell of it. */
type NumberKind = { pattern(): string | undefined; possibleLengths(): readonly number[] | undefined };
type Plan = {
  IDDPrefix(): string | undefined;
  nationalNumberPattern(): string | undefined;
  nationalPrefixForParsing(): string | undefined;
  callingCode(): string;
  type(name: string): NumberKind | undefined;
};

const kinds = [
  "FIXED_LINE",
  "MOBILE",
  "PREMIUM_RATE",
  "TOLL_FREE",
  "SHARED_COST",
  "VOIP",
  "PERSONAL_NUMBER",
  "PAGER",
  "UAN",
  "VOICEMAIL",
];

/** Digits of ASCII, with the marks that most people write between them. */
const plain = /^\(?[1-9]?[0-9][0-9 ().\-/]{2,24}[0-9]$/;
const marks = /[ ().\-/]/g;

const whole = (pattern: string) => new RegExp(`^(?:${pattern})$`);
const beginning = (pattern: string) => new RegExp(`^(?:${pattern})`);

/**
 * Reads what most people write of phones of their own country, in a tenth of the time that the library takes: digits
 * that are, with or without what is dialed first within the country, a number of its plan. It answers what the
 * library would, or undefined for what the library is to be asked about.
 */
export function createPlanReader(region: CountryCode): (written: string) => string | undefined {
  const metadata = new Metadata();
  metadata.selectNumberingPlan(region);
  const plan = metadata.numberingPlan as unknown as Plan;
  const isNational = whole(plan.nationalNumberPattern() ?? "(?!)");
  const isOfKind = kinds.flatMap((name) => {
    const kind = plan.type(name);
    const pattern = kind?.pattern() ?? "";
    if (kind === undefined || pattern === "") return [];
    return [{ is: whole(pattern), lengths: kind.possibleLengths() }];
  });
  const abroad = beginning(plan.IDDPrefix() ?? "(?!)");
  const within = beginning(plan.nationalPrefixForParsing() || "(?!)");

  const isNumber = (digits: string): boolean =>
    isNational.test(digits) &&
    isOfKind.some(({ is, lengths }) => lengths?.includes(digits.length) !== false && is.test(digits));

  return (written) => {
    if (!plain.test(written)) return undefined;
    const digits = written.replace(marks, "");
    if (abroad.test(digits)) return undefined;
    const [before = "", ...parts] = within.exec(digits) ?? [];
    // A carrier, or what becomes a part of the number, is the library's.
    if (parts.some((part) => part !== undefined)) return undefined;
    const number = digits.slice(before.length);
    return isNumber(number) ? `+${plan.callingCode()}${number}` : undefined;
  };
}
