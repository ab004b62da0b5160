import { SaxesParser } from "saxes";

/** Names without their prefixes, which programs choose as they like. */
export type Attributes = Readonly<Record<string, string>>;

export type Handlers = {
  readonly open: (name: string, attributes: Attributes) => void;
  readonly close?: (name: string) => void;
  readonly text?: (text: string) => void;
};

const pieceBytes = 1024 * 1024;

const local = (name: string): string => name.slice(name.indexOf(":") + 1);

/** The attributes under plain names; most have no others. */
function plainNames(attributes: Attributes): Attributes {
  for (const key in attributes) {
    if (!key.includes(":")) continue;
    return Object.fromEntries(Object.entries(attributes).map(([name, value]) => [local(name), value]));
  }
  return attributes;
}

const encodingOf = ([a, b]: Uint8Array): string =>
  a === 0xff && b === 0xfe ? "utf-16le" : a === 0xfe && b === 0xff ? "utf-16be" : "utf-8";

/**
 * Tells what is in the XML, piece by piece, and how much of it is read; throws where it is none. It knows no entities
 * but those of XML itself.
 */
export function readXml(
  bytes: Uint8Array,
  { open, close, text }: Handlers,
  onShare: (share: number) => void = () => {},
): void {
  const parser = new SaxesParser();
  parser.on("opentag", ({ name, attributes }) => open(local(name), plainNames(attributes)));
  if (close !== undefined) parser.on("closetag", ({ name }) => close(local(name)));
  if (text !== undefined) {
    parser.on("text", text);
    parser.on("cdata", text);
  }
  const decoder = new TextDecoder(encodingOf(bytes), { fatal: true });
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    parser.write(decoder.decode(bytes.subarray(at, at + pieceBytes), { stream: true }));
    onShare(at / bytes.length);
  }
  parser.write(decoder.decode());
  parser.close();
}
