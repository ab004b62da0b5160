import { readXml } from "./xml.ts";

const escaped = /_x([\dA-Fa-f]{4})_/g;

/** The text of a cell as people see it: some characters stand as `_x000D_` in the file. */
export const textOf = (written: string): string =>
  (written.includes("_x")
    ? written.replace(escaped, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
    : written
  )
    .replaceAll("\r\n", "\n")
    .replaceAll("\r", "\n");

/** The texts that cells refer to by number. What tells how one is pronounced is no part of it. */
export function readStrings(bytes: Uint8Array): string[] {
  const strings: string[] = [];
  let text = "";
  let isText = false;
  let spoken = 0;
  readXml(bytes, {
    open(name) {
      if (name === "si") text = "";
      else if (name === "rPh") spoken += 1;
      isText = name === "t" && spoken === 0;
    },
    text(piece) {
      if (isText) text += piece;
    },
    close(name) {
      if (name === "si") strings.push(textOf(text));
      else if (name === "rPh") spoken -= 1;
      isText = false;
    },
  });
  return strings;
}
