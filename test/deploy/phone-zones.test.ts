import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { everywhere, overlay } from "../../deploy/phone-zones/overlay.ts";
import { makePhoneZones } from "../../deploy/phone-zones/table.ts";
import { phoneZones } from "../../src/domain/time/phone-zones-data.ts";
import { zonesOfPhone } from "../../src/domain/time/phone-zones.ts";
import { canonicalTimeZone } from "../../src/domain/time/time-zone.ts";
import { root } from "../support/readme.ts";

const source = readFileSync(join(root, "deploy/phone-zones/source.txt"), "utf8");

describe("the reviewed lines", () => {
  test.each(overlay)("hold $example: $reason", ({ prefixes, zones, example }) => {
    expect(prefixes.some((prefix) => example.startsWith(`+${prefix}`))).toBe(true);
    expect(example).toMatch(/^\+[1-9]\d{6,14}$/);
    expect(zonesOfPhone(example)).toEqual(zones);
  });

  test("say each prefix once, and zones in the order of their names", () => {
    const prefixes = overlay.flatMap((line) => line.prefixes);
    expect(prefixes.toSorted()).toEqual([...new Set(prefixes)].toSorted());
    expect(overlay.filter(({ zones }) => zones.join() !== zones.toSorted().join())).toEqual([]);
  });

  test("are refused where a country's zones have become others", () => {
    const another = source.replace(/^country EC .*$/m, "country EC America/Guayaquil");
    expect(() => makePhoneZones(another, overlay)).toThrow(
      "overlay.ts must say that the zones of EC are America/Guayaquil",
    );
  });

  test("name every zone of a country for its mobiles", () => {
    const ofMobiles = Object.values(everywhere).filter((zones) =>
      overlay.some((line) => line.zones.join() === zones.join()),
    );
    expect(ofMobiles).toEqual(Object.values(everywhere));
  });
});

test("every zone of a number is known by its canonical name", () => {
  const names = phoneZones.table.match(/[A-Z][A-Za-z_]+(?:\/[A-Za-z_-]+)+/g) ?? [];
  expect(names.length).toBeGreaterThan(250);
  expect(names.filter((name) => canonicalTimeZone(name) !== name)).toEqual([]);
});

test("src/domain/time/phone-zones-data.ts is what npm run zones makes", () => {
  const file = join(root, "src/domain/time/phone-zones-data.ts");
  expect(readFileSync(file, "utf8")).toBe(makePhoneZones(source, overlay));
});
