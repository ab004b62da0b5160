const whole = new Intl.NumberFormat("en");
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });
const plural = new Intl.PluralRules("en");

export const count = (value: number): string => whole.format(value);

/** "1 contact", "2 contacts". */
export const counted = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${plural.select(value) === "one" ? one : many}`;

/** A share in whole percent that says 0 % and 100 % only if it is so. */
export function share(part: number, all: number): string {
  if (all === 0) return percent.format(0);
  const ratio = part / all;
  if (part > 0 && ratio < 0.01) return "< 1%";
  if (part < all && ratio > 0.99) return "> 99%";
  return percent.format(ratio);
}
