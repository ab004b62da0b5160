import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";

/**
 * gRPC-Web as text, for clients whose XMLHttpRequest cannot read bytes: the same frames in base64, both ways. Each side
 * may end a piece of base64 with padding and go on with another.
 */
export const isWebText = (type: string): boolean => /^application\/grpc-web-text(\+proto)?$/i.test(type);

export const webTextType = "application/grpc-web-text+proto";
const webBytesType = "application/grpc-web+proto";

/** A call as text as the one in bytes that says the same; its body is decoded as it is read. */
export function fromWebText(header: Headers, chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  header.set("content-type", webBytesType);
  return decoded(chunks);
}

/** The bytes of base64 that comes in any chunks. */
async function* decoded(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let rest = "";
  for await (const chunk of chunks) {
    const text = rest + Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString("latin1");
    const whole = text.length - (text.length % 4);
    rest = text.slice(whole);
    if (whole > 0) yield fromBase64(text.slice(0, whole));
  }
  if (rest !== "") throw notBase64();
}

/** Decodes whole groups of four; padding may end any of them. */
function fromBase64(text: string): Uint8Array {
  if (!/^(?:[A-Za-z\d+/]{4}|[A-Za-z\d+/]{3}=|[A-Za-z\d+/]{2}==)*$/.test(text)) throw notBase64();
  return Buffer.concat((text.match(/[^=]+=*/g) ?? []).map((piece) => Buffer.from(piece, "base64")));
}

const notBase64 = () =>
  new ConnectError("The body of application/grpc-web-text must be base64.", Code.InvalidArgument);

/** An answer in bytes as text, each chunk of it ended with its own padding, so that none waits for the next. */
export function toWebText(response: UniversalServerResponse): UniversalServerResponse {
  const { body } = response;
  const header = new Headers(response.header);
  header.set("content-type", webTextType);
  return { ...response, header, ...(body && { body: encoded(body) }) };
}

async function* encoded(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  for await (const chunk of body)
    yield Buffer.from(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString("base64"), "latin1");
}
