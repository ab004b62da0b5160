/* Writes src/domain/time/phone-zones-data.ts: `npm run zones`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { overlay } from "./overlay.ts";
import { makePhoneZones } from "./table.ts";

const source = readFileSync(join(import.meta.dirname, "source.txt"), "utf8");
const target = join(import.meta.dirname, "../../src/domain/time/phone-zones-data.ts");
writeFileSync(target, makePhoneZones(source, overlay));
