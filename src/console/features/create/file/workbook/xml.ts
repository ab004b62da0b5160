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

const encodingOf = ([a, b]: Uint8Array): string =>
  a === 0xff && b === 0xfe ? "utf-16le" : a === 0xfe && b === 0xff ? "utf-16be" : "utf-8";

/** Tells what is in the XML, piece by piece; throws where it is none. It knows no entities but those of XML itself. */
export function readXml(bytes: Uint8Array, { open, close, text }: Handlers): void {
  const parser = new SaxesParser();
  parser.on("opentag", ({ name, attributes }) => {
    const plain = Object.entries(attributes).map(([key, value]) => [local(key), value] as const);
    open(local(name), Object.fromEntries(plain));
  });
  if (close !== undefined) parser.on("closetag", ({ name }) => close(local(name)));
  if (text !== undefined) {
    parser.on("text", text);
    parser.on("cdata", text);
  }
  const decoder = new TextDecoder(encodingOf(bytes), { fatal: true });
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    parser.write(decoder.decode(bytes.subarray(at, at + pieceBytes), { stream: true }));
  }
  parser.write(decoder.decode());
  parser.close();
}
