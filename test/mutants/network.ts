import type { Mutant } from "./mutants.ts";

const tls = "test/rpc/tls.test.ts";
const address = "test/rpc/caller-address.test.ts";

/** How the ports are reached: over TLS, from browsers, through proxies. */
export const network: Mutant[] = [
  {
    guard: "gRPC hears of the end of a request that ended, empty, before its turn",
    file: "src/rpc/grpc/streams.ts",
    text: "if (!stream.readableEnded) return;",
    instead: "return;",
    test: "test/rpc/requests.test.ts",
    title: "a call that ended without a message before its turn came is answered",
  },
  {
    guard: "a certificate is served with its own key only",
    file: "src/rpc/tls/files.ts",
    text: "!chain[0].checkPrivateKey(keyIn(key))",
    instead: 'keyIn(key).type === "public"',
    test: tls,
    title: "a key of another certificate",
  },
  {
    guard: "TLS files that cannot be used are told of once",
    file: "src/rpc/tls/certificates.ts",
    text: "sentence === suspicion && sentence !== told",
    instead: "sentence === suspicion",
    test: tls,
    title: "leave the old pair in use where the new one",
  },
  {
    guard: "a handshake ends in time",
    file: "src/rpc/tls/handshakes.ts",
    text: "underWay.get(place) === socket && socket.destroy()",
    instead: "underWay.get(place) === socket && socket.destroyed",
    test: tls,
    title: "that never ends is ended, be it silent or slow, and one that has ended is not",
  },
  {
    guard: "handshakes are so many at most",
    file: "src/rpc/tls/handshakes.ts",
    text: "if (underWay.size > most)",
    instead: "if (underWay.size > Infinity)",
    test: tls,
    title: "makes room for newer ones where too many do not end",
  },
  {
    guard: "over HTTP/2 half an answer does not look whole",
    file: "src/rpc/http/over-http2.ts",
    text: "this.stream.close(constants.NGHTTP2_INTERNAL_ERROR)",
    instead: "this.stream.close(constants.NGHTTP2_NO_ERROR)",
    test: tls,
    title: "an answer that breaks off does not look whole",
  },
  {
    guard: "over HTTP/2 an answer that its client has not taken is undone",
    file: "src/rpc/http/over-http2.ts",
    text: "stream.writableFinished && stream.rstCode === constants.NGHTTP2_NO_ERROR",
    instead: "stream.writable || stream.destroyed",
    test: tls,
    title: "an answer that its client does not read is undone when",
  },
  {
    guard: "nobody but a trusted proxy says where a call comes from",
    file: "src/rpc/gate/caller-address.ts",
    text: "trusted?.has(peer) !== true",
    instead: "trusted === undefined",
    test: address,
    title: "whoever is no trusted proxy is where the connection comes from",
  },
  {
    guard: "a header that came through a proxy as its client wrote it is not believed",
    file: "src/rpc/gate/caller-address.ts",
    text: "first === second ? first : peer",
    instead: "first ?? second",
    test: address,
    title: "is the proxy's where they differ",
  },
  {
    guard: "a flood through a proxy does not end the proxy's connection",
    file: "src/rpc/gate/strangers.ts",
    text: "isProxied || inUse.has(connection)",
    instead: "inUse.has(connection)",
    test: "test/rpc/strangers.test.ts",
    title: "a flood is refused call by call on its connection, and another address has its turn",
  },
  {
    guard: "pages of no other origins than those allowed may call",
    file: "src/rpc/http/pages/cors.ts",
    text: "allowed.has(headers.origin)",
    instead: "allowed.size > 0",
    test: "test/rpc/cors.test.ts",
    title: "of an origin like it",
  },
  {
    guard: "other machines do not reach the ports in plain text unless it is allowed",
    file: "src/config.ts",
    text: "ALLOW_PLAINTEXT || isLoopback(HOST)",
    instead: 'ALLOW_PLAINTEXT || HOST !== ""',
    test: "test/main.test.ts",
    title: "other machines would reach it in plain text",
  },
];
