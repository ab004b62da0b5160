const beginnings = [
  [0x50, 0x4b, 0x03, 0x04],
  [0xd0, 0xcf, 0x11, 0xe0],
];

/** True of a file that begins as workbooks do, be it one that can be read or not. */
export const isWorkbook = (start: Uint8Array): boolean =>
  beginnings.some((bytes) => bytes.every((byte, i) => start[i] === byte));
