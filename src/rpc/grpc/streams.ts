import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { status, type ChannelOptions, type Server, type ServerInterceptor } from "@grpc/grpc-js";
import type { LateEnds } from "../calls/late-ends.ts";
import type { FindAddress } from "../gate/caller-address.ts";
import type { Strangers, Wanted } from "../gate/strangers.ts";
import { grpcTimeoutMs, longestTimeoutMs } from "../requests/limits.ts";

/** What is to be done with the calls of one method. */
export type StreamRule = {
  readonly maxBytes: number;
  readonly wanted: Wanted;
  /** `settled` is called once it is known who calls. */
  takeOver(stream: ServerHttp2Stream, settled: () => void): ServerInterceptor;
};

const handler = "_streamHandler";

/** Inside grpc-js, whose version is pinned: what it does with a new stream, and the options that it reads for it. */
type Inside = {
  readonly options: ChannelOptions;
  [handler](
    this: Inside,
    interceptors: ServerInterceptor[],
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
  ): void;
};

/**
 * Puts rules before what grpc-js does with a stream. It has one limit of bytes for all methods, where a health check
 * may hold next to nothing, and setTimeout() for every deadline, which takes one beyond 24 days for one that is over.
 */
export function ruleStreams(
  server: Server,
  rules: ReadonlyMap<string, StreamRule>,
  given: { strangers: Strangers; findAddress: FindAddress; lateEnds: LateEnds },
): void {
  const { strangers, findAddress, lateEnds } = given;
  const inside = server as unknown as Inside;
  const { [handler]: handle, options } = inside;
  if (typeof handle !== "function") throw new Error("grpc-js handles its streams in another way");
  const servers = new Map<number, Inside>();
  const serverWith = (maxBytes: number): Inside => {
    const limited = { value: { ...options, "grpc.max_receive_message_length": maxBytes } };
    const found = servers.get(maxBytes) ?? Object.create(inside, { options: limited });
    servers.set(maxBytes, found);
    return found;
  };

  inside[handler] = (interceptors, stream, headers) => {
    // A stream may end before it is begun.
    stream.on("error", () => {});
    const { authorization } = headers;
    const rule = rules.get(headers[":path"] ?? "");
    const { session } = stream;
    if (session === undefined) return;
    strangers.admit({
      authorization,
      wanted: rule?.wanted ?? "other",
      connection: session,
      ...findAddress(session.socket.remoteAddress, headers),
      begin: (settled) => {
        if (stream.destroyed) return settled();
        stream.once("close", settled);
        begin(rule, interceptors, stream, headers, settled);
      },
      turnAway(what) {
        // Clients of gRPC repeat by themselves what was refused unseen.
        if (what === "call") stream.close(constants.NGHTTP2_REFUSED_STREAM);
        else lateEnds.endFor(session, stream);
      },
    });
  };

  function begin(
    rule: StreamRule | undefined,
    interceptors: ServerInterceptor[],
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    settled: () => void,
  ): void {
    const type = headers["content-type"] ?? "";
    if (!type.startsWith("application/grpc")) return refuseType(stream);
    const timeout = headers["grpc-timeout"];
    const timeoutMs = timeout === undefined ? undefined : grpcTimeoutMs(String(timeout));
    if (timeoutMs !== undefined && Number.isNaN(timeoutMs)) return refuseTimeout(stream);
    if (timeoutMs !== undefined && timeoutMs > longestTimeoutMs) delete headers["grpc-timeout"];
    const all = rule === undefined ? interceptors : [...interceptors, rule.takeOver(stream, settled)];
    const within = rule === undefined ? inside : serverWith(rule.maxBytes);
    tellingOfItsEnd(stream, () => handle.call(within, all, stream, headers));
  }
}

/**
 * Has those who begin to listen hear the end of a request that ended, without a message, before they did: Node tells of
 * that as it comes, whoever listens.
 */
function tellingOfItsEnd(stream: ServerHttp2Stream, listen: () => void): void {
  const before = new Set(stream.listeners("end"));
  listen();
  if (!stream.readableEnded) return;
  for (const listener of stream.listeners("end")) if (!before.has(listener)) listener.call(stream);
}

function refuseType(stream: ServerHttp2Stream): void {
  stream.on("error", () => {});
  stream.respond({
    ":status": constants.HTTP_STATUS_UNSUPPORTED_MEDIA_TYPE,
    "content-type": "text/plain; charset=utf-8",
    "accept-post": "application/grpc",
  });
  stream.end("This port speaks gRPC; Connect, gRPC-Web and JSON have the HTTP port.\n");
}

function refuseTimeout(stream: ServerHttp2Stream): void {
  stream.on("error", () => {});
  const refusal = {
    ":status": constants.HTTP_STATUS_OK,
    "content-type": "application/grpc",
    "grpc-status": status.INVALID_ARGUMENT,
    "grpc-message": encodeURI("The grpc-timeout must be one to eight digits and one of H, M, S, m, u, n."),
  };
  stream.respond(refusal, { endStream: true });
}
