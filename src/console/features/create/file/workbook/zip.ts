import { unzipSync } from "fflate";
import { badFile } from "../../../../../files/bad-file.ts";

/** All parts that are wanted at once are no larger, whatever they were packed to. */
const mostBytes = 512 * 1024 * 1024;

/** Part names are compared so: some programs write them in other ways than they refer to them. */
export const partName = (name: string): string => name.replaceAll("\\", "/").replace(/^\//, "").toLowerCase();

const tooLarge = () =>
  badFile("The workbook is too large once it is unpacked. Save the sheet as CSV, and choose that.");

/** The parts of a zip archive that are wanted, by name. No more is unpacked of one than the archive says it has. */
export function unpack(
  archive: Uint8Array,
  isWanted: (name: string, bytes: number) => boolean,
): Map<string, Uint8Array> {
  let sum = 0;
  const parts = unzipSync(archive, {
    filter({ name, originalSize }) {
      if (!isWanted(partName(name), originalSize)) return false;
      sum += originalSize;
      if (sum > mostBytes) throw tooLarge();
      return true;
    },
  });
  return new Map(Object.entries(parts).map(([name, bytes]) => [partName(name), bytes]));
}
