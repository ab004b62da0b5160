/** A file that cannot be read as a table of text; the message says what would have worked. */
export class FileError extends Error {
  override readonly name = "FileError";
}

const largestBytes = 256 * 1024 * 1024;

/** The text of a file that says by its first bytes that it is UTF-16, or else is UTF-8. */
export function decodeText(bytes: Uint8Array): string {
  if (bytes.length > largestBytes)
    throw new FileError("The file is larger than 256 MB. Split it, and add the rest later.");
  const [first, second] = bytes;
  const encoding =
    first === 0xff && second === 0xfe ? "utf-16le" : first === 0xfe && second === 0xff ? "utf-16be" : "utf-8";
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new FileError("The file is not UTF-8 text. Save it as “CSV UTF-8” and drop it again.");
  }
}
