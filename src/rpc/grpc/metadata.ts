import type { ConnectError } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { Metadata } from "@grpc/grpc-js";

/** What the protocol itself sets; as metadata these would break the response. */
const reserved = new Set([
  "connection",
  "content-length",
  "content-type",
  "grpc-accept-encoding",
  "grpc-encoding",
  "grpc-message",
  "grpc-status",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
]);

const isBinary = (name: string) => name.endsWith("-bin");

/** Binary values are base64 without padding in Headers, as Connect's own helpers have them. */
export function toHeaders(metadata: Metadata): Headers {
  const headers = new Headers();
  for (const [name, values] of Object.entries(metadata.toJSON())) {
    for (const value of values) headers.append(name, typeof value === "string" ? value : unpadded(value));
  }
  return headers;
}

/** Throws if a value has characters that gRPC does not allow. */
export function toMetadata(headers: Headers): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of headers) {
    if (reserved.has(name)) continue;
    if (!isBinary(name)) metadata.add(name, value);
    else for (const part of value.split(",")) metadata.add(name, Buffer.from(part, "base64"));
  }
  return metadata;
}

/** The end of a refused call; the details of the error travel in `grpc-status-details-bin`. */
export const toStatus = (error: ConnectError, trailer: Headers) => ({
  code: error.code as number,
  details: error.rawMessage,
  metadata: toMetadata(setTrailerStatus(new Headers(trailer), error)),
});

const unpadded = (value: Buffer) => value.toString("base64").replace(/=+$/, "");
