import { execFile } from "node:child_process";
import { join } from "node:path";
import {
  type DescMethodUnary,
  type JsonObject,
  type JsonValue,
  createRegistry,
  fromBinary,
  fromJson,
  toJson,
} from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import { ConnectError, type Transport } from "@connectrpc/connect";
import {
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { compressionAlgorithms } from "@grpc/grpc-js";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../../src/gen/google/rpc/error_details_pb.ts";
import { codeName } from "../../src/rpc/errors.ts";
import { createGrpcJsTransport } from "../rpc/grpc-js-transport.ts";

export type Ports = {
  readonly httpUrl: string;
  readonly grpcUrl: string;
  readonly apiKey: string;
  /** The whole header, for one that is wrong. */
  readonly authorization?: string;
};
type Methods = typeof BatchJobService.method;
/** The RPCs with one message each way. */
export type Method = {
  [M in keyof Methods]: Methods[M]["methodKind"] extends "unary" ? M : never;
}[keyof Methods];
export type Refused = { code: string; message: string; details: JsonValue[] };
/** The answer as JSON that carries its zero values, or the refusal with its details decoded. */
export type Reply = { ok: JsonValue } | { refused: Refused };
type Options = { timeoutMs?: number; onHeader?: (header: Headers) => void };
/** Calls one RPC. Every caller takes and gives JSON, whatever goes over its wire. */
export type Call = (method: Method, request: JsonObject, options?: Options) => Promise<Reply>;

const details = createRegistry(ErrorInfoSchema, BadRequestSchema, RetryInfoSchema);

function readDetail(type: string, value: Uint8Array): JsonObject {
  const desc = details.getMessage(type);
  if (desc === undefined) throw new Error(`there should be no detail of type ${type}`);
  return { "@type": type, ...(toJson(desc, fromBinary(desc, value)) as JsonObject) };
}

function readError(thrown: unknown): Refused {
  if (!(thrown instanceof ConnectError)) throw thrown;
  return {
    code: codeName(thrown.code),
    message: thrown.rawMessage,
    details: thrown.details.flatMap((detail) =>
      "desc" in detail ? [] : [readDetail(detail.type, detail.value)],
    ),
  };
}

type WireError = { code: string; message: string; details?: { type: string; value: string }[] };

const readWireError = (error: WireError): Refused => ({
  code: error.code,
  message: error.message,
  details: (error.details ?? []).map(({ type, value }) => readDetail(type, Buffer.from(value, "base64"))),
});

const unary = (method: Method): DescMethodUnary => BatchJobService.method[method];

const authorizationOf = ({ apiKey, authorization = `Bearer ${apiKey}` }: Ports): Record<string, string> =>
  authorization === "" ? {} : { authorization };

const byTransport =
  (open: (ports: Ports) => Transport) =>
  (ports: Ports): Call => {
    const transport = open(ports);
    return async (name, request, { timeoutMs, onHeader } = {}) => {
      const method = unary(name);
      const input = fromJson(method.input, request);
      try {
        const { message, header } = await transport.unary(
          method,
          undefined,
          timeoutMs,
          authorizationOf(ports),
          input,
        );
        onHeader?.(header);
        return { ok: toJson(method.output, message, { alwaysEmitImplicit: true }) };
      } catch (thrown) {
        if (thrown instanceof ConnectError) onHeader?.(thrown.metadata);
        return { refused: readError(thrown) };
      }
    };
  };

function send(
  ports: Ports,
  name: Method,
  request: JsonObject,
  headers: Record<string, string>,
  isGet: boolean,
) {
  const url = `${ports.httpUrl}/${BatchJobService.typeName}/${unary(name).name}`;
  const body = JSON.stringify(request);
  if (!isGet)
    return fetch(url, { method: "POST", headers: { ...headers, "content-type": "application/json" }, body });
  return fetch(`${url}?${new URLSearchParams({ connect: "v1", encoding: "json", message: body })}`, {
    headers,
  });
}

const byFetch =
  (options: { readsByGet: boolean }) =>
  (ports: Ports): Call =>
  async (name, request, { timeoutMs, onHeader } = {}) => {
    const isGet = options.readsByGet && unary(name).idempotency === Idempotency.NO_SIDE_EFFECTS;
    const timeout: Record<string, string> =
      timeoutMs === undefined ? {} : { "connect-timeout-ms": String(timeoutMs) };
    const response = await send(ports, name, request, { ...authorizationOf(ports), ...timeout }, isGet);
    onHeader?.(response.headers);
    const text = await response.text();
    return response.ok ? { ok: JSON.parse(text) } : { refused: readWireError(JSON.parse(text)) };
  };

const bufFile = join(import.meta.dirname, "../../node_modules/.bin/buf");

/** `buf curl` knows nothing of the service but what reflection tells it. */
const byBufCurl =
  (ports: Ports): Call =>
  async (name, request) => {
    const method = unary(name);
    const url = `${ports.grpcUrl}/${BatchJobService.typeName}/${method.name}`;
    const headers = Object.entries(authorizationOf(ports)).flatMap(([key, value]) => [
      "-H",
      `${key}: ${value}`,
    ]);
    const flags = [
      "--protocol",
      "grpc",
      "--http2-prior-knowledge",
      ...headers,
      "-d",
      JSON.stringify(request),
    ];
    const { error, stdout, stderr } = await runNode([bufFile, "curl", ...flags, url]);
    if (error === null) {
      return {
        ok: toJson(method.output, fromJson(method.output, JSON.parse(stdout)), { alwaysEmitImplicit: true }),
      };
    }
    return { refused: readWireError(JSON.parse(stderr)) };
  };

const runNode = (args: string[]) =>
  new Promise<{ error: Error | null; stdout: string; stderr: string }>((resolve) => {
    execFile(process.execPath, args, (error, stdout, stderr) => resolve({ error, stdout, stderr }));
  });

const compressed = {
  sendCompression: compressionGzip,
  acceptCompression: [compressionGzip],
  compressMinBytes: 0,
};
const grpcJsGzip = { "grpc.default_compression_algorithm": compressionAlgorithms.gzip };
const grpcPort = ({ grpcUrl }: Ports) => Number(new URL(grpcUrl).port);
const http = ({ httpUrl }: Ports) => ({ baseUrl: httpUrl, httpVersion: "1.1" as const });

const callers = {
  "grpc-js": byTransport((ports) => createGrpcJsTransport(grpcPort(ports))),
  "grpc-js, compressed": byTransport((ports) => createGrpcJsTransport(grpcPort(ports), grpcJsGzip)),
  "connect-node gRPC": byTransport(({ grpcUrl }) => createGrpcTransport({ baseUrl: grpcUrl })),
  "connect-node gRPC, compressed": byTransport(({ grpcUrl }) =>
    createGrpcTransport({ baseUrl: grpcUrl, ...compressed }),
  ),
  "Connect JSON": byTransport((ports) => createConnectTransport(http(ports))),
  "Connect binary": byTransport((ports) => createConnectTransport({ ...http(ports), useBinaryFormat: true })),
  "Connect, compressed": byTransport((ports) => createConnectTransport({ ...http(ports), ...compressed })),
  "gRPC-Web": byTransport((ports) => createGrpcWebTransport(http(ports))),
  "gRPC-Web, compressed": byTransport((ports) => createGrpcWebTransport({ ...http(ports), ...compressed })),
  "plain fetch": byFetch({ readsByGet: false }),
  "plain fetch with GET for reads": byFetch({ readsByGet: true }),
  "buf curl with reflection": byBufCurl,
} satisfies Record<string, (ports: Ports) => Call>;

export type CallerName = keyof typeof callers;

/** One name per protocol, library and way to use it. */
export const everyCaller = Object.keys(callers) as CallerName[];

/** Those that show headers and heed deadlines, and do not start a process per call. */
export const everyClient = everyCaller.filter((name) => name !== "buf curl with reflection");

/** One for each listener. */
export const bothListeners = ["grpc-js", "plain fetch"] as const satisfies CallerName[];

/** A caller with the key of `ports`, or with its authorization, or without any if that is empty. */
export const callerFor = (name: CallerName, ports: Ports): Call => callers[name](ports);

/** The answer; a refusal is thrown. */
export async function answered<T = JsonObject>(reply: Promise<Reply>): Promise<T> {
  const result = await reply;
  if ("ok" in result) return result.ok as T;
  throw new Error(`refused: ${JSON.stringify(result.refused)}`);
}
