import { BatchJobError } from "../domain/batch-job-error.ts";
import { badFile } from "./bad-file.ts";
import { encodingOf, refuseOtherKinds, telling } from "./file-kind.ts";

const encodings = new Set(["utf-8", "utf-16le", "utf-16be", "windows-1252"]);

/** The encoding of this name, or of another name that the web has for it; empty if it is to be found out. */
function readName(given: string): string {
  if (given === "") return "";
  try {
    const { encoding } = new TextDecoder(given);
    if (encodings.has(encoding)) return encoding;
  } catch {
    // No encoding has this name.
  }
  throw new BatchJobError(
    "invalid_argument",
    "encoding must be utf-8, utf-16le, utf-16be or windows-1252, or not be given.",
    { field: "encoding" },
  );
}

const nothing: Uint8Array = new Uint8Array();

const strict = (encoding: string) => new TextDecoder(encoding, { fatal: true });

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b;
  const whole = new Uint8Array(a.length + b.length);
  whole.set(a);
  whole.set(b, a.length);
  return whole;
}

/** How many bytes at the end may be the beginning of a letter in UTF-8. */
function unfinished(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return back < (byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4) ? back : 0;
  }
  return 0;
}

/** Bytes that Windows-1252 has no letter for. */
const unusedIn1252 = /[\u0081\u008D\u008F\u0090\u009D]/;

/** True if this is no UTF-8 that has a few wrong bytes in it, and may be Windows-1252. */
function isWindows1252(bytes: Uint8Array): boolean {
  const text = new TextDecoder().decode(bytes);
  const wrong = text.split("\uFFFD").length - 1;
  const right = (text.match(/[^\0-\u007F]/gu)?.length ?? 0) - wrong;
  return wrong > right && !unusedIn1252.test(new TextDecoder("windows-1252").decode(bytes));
}

/**
 * Reads the bytes of a file as text, in the given encoding or in the one that it finds out: UTF-16 by how the file
 * begins; Windows-1252 by its first letters beyond ASCII, which are not UTF-8; else UTF-8.
 */
export function createTextReader(given: string) {
  const name = readName(given);
  let start: Uint8Array | undefined = nothing;
  let decoder = strict("utf-8");
  /** Whether all letters were ASCII so far: then the file may still turn out to be Windows-1252. */
  let isOpen = false;
  /** The beginning of a letter, while the encoding is open. */
  let held = nothing;

  /** Keeps the first bytes back until they tell what the file is. */
  function begin(kept: Uint8Array, bytes: Uint8Array, isLast: boolean): Uint8Array {
    const whole = joined(kept, bytes);
    start = isLast || whole.length >= telling ? undefined : whole;
    if (start !== undefined) return nothing;
    refuseOtherKinds(whole);
    const found = name === "" ? encodingOf(whole) : name;
    isOpen = name === "" && found === "utf-8";
    decoder = strict(found);
    return whole;
  }

  function settleOn(encoding: string, whole: Uint8Array, isLast: boolean): string {
    isOpen = false;
    held = nothing;
    decoder = strict(encoding);
    return decoder.decode(whole, { stream: !isLast });
  }

  function decodeOpen(whole: Uint8Array, isLast: boolean): string {
    const rest = isLast ? 0 : unfinished(whole);
    const letters = whole.subarray(0, whole.length - rest);
    let text: string;
    try {
      text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(letters);
    } catch (error) {
      // A file that ends within its only letter beyond ASCII was cut off.
      const ended = whole.length - unfinished(whole);
      const isCut = ended < whole.length && isUtf8(whole.subarray(0, ended));
      if (isCut || !isWindows1252(letters)) throw error;
      return settleOn("windows-1252", whole, isLast);
    }
    if (text.length !== letters.length) return settleOn("utf-8", whole, isLast);
    held = whole.slice(whole.length - rest);
    return text;
  }

  return {
    /** `linesBefore` tells how many line ends came before these bytes. */
    decode(
      bytes: Uint8Array,
      { isLast, linesBefore }: { isLast: boolean; linesBefore: () => number },
    ): string {
      const known = start === undefined ? bytes : begin(start, bytes, isLast);
      const whole = joined(held, known);
      try {
        return isOpen ? decodeOpen(whole, isLast) : decoder.decode(whole, { stream: !isLast });
      } catch {
        const at = linesBefore() + (decoder.encoding === "utf-8" ? linesOfUtf8(whole) : 0);
        throw badFile(
          `The file is not ${decoder.encoding.toUpperCase()}: line ${at} has bytes of another encoding; save it as UTF-8, or say which it is in (encoding).`,
          { line: String(at) },
        );
      }
    },
  };
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    strict("utf-8").decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** How many whole lines of UTF-8 come before the first that is not. */
function linesOfUtf8(bytes: Uint8Array): number {
  let count = 0;
  // The piece may begin within a letter.
  const begins = bytes.subarray(0, 3).findLastIndex((byte) => byte >= 0x80 && byte < 0xc0) + 1;
  for (let from = begins; ; count += 1) {
    const end = bytes.indexOf(0x0a, from);
    if (end === -1 || !isUtf8(bytes.subarray(from, end))) return count;
    from = end + 1;
  }
}
