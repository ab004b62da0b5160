import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import {
  type ChannelCredentials,
  Client,
  credentials,
  Metadata,
  type ClientOptions,
  type ServiceError,
  type StatusObject,
} from "@grpc/grpc-js";

/**
 * The client of grpc-js behind the interface of Connect's, so that a test can treat all clients alike. It calls a port
 * on this machine, or a gRPC address, without TLS unless it is given credentials.
 */
export function createGrpcJsTransport(
  to: number | string,
  options: ClientOptions = {},
  channel: ChannelCredentials = credentials.createInsecure(),
): Transport {
  const client = new Client(typeof to === "number" ? `127.0.0.1:${to}` : to, channel, options);
  return {
    unary(method, signal, timeoutMs, header, input) {
      const { path, serialize, deserialize } = codec(method);
      return new Promise((resolve, reject) => {
        let responseHeader = new Metadata();
        let failure: ServiceError | null = null;
        let message: ReturnType<typeof deserialize> | undefined;
        const call = client
          .makeUnaryRequest(
            path,
            serialize,
            deserialize,
            input,
            toMetadata(new Headers(header)),
            deadline(timeoutMs),
            (error, value) => {
              failure = error;
              message = value;
            },
          )
          .on("metadata", (metadata: Metadata) => (responseHeader = metadata))
          .on("status", ({ metadata }: StatusObject) => {
            if (failure || !message) return reject(toConnectError(failure));
            resolve({
              stream: false,
              service: method.parent,
              method,
              message,
              header: toHeaders(responseHeader),
              trailer: toHeaders(metadata),
            });
          });
        signal?.addEventListener("abort", () => call.cancel());
      });
    },
    async stream(method, signal, timeoutMs, header, input) {
      const { path, serialize, deserialize } = codec(method);
      const call = client.makeBidiStreamRequest(
        path,
        serialize,
        deserialize,
        toMetadata(new Headers(header)),
        deadline(timeoutMs),
      );
      signal?.addEventListener("abort", () => call.cancel());
      const responseHeader = new Headers();
      const trailer = new Headers();
      const status = new Promise<StatusObject>((resolve) => call.on("status", resolve));
      const begun = new Promise<void>((resolve) => {
        call.on("metadata", (metadata: Metadata) => resolve(void copy(metadata, responseHeader)));
        call.on("status", ({ metadata }: StatusObject) => resolve(void copy(metadata, trailer)));
      });
      // The status tells the same; without a listener the event would end the process.
      call.on("error", () => {});
      void send(call, input);
      await begun;
      return {
        stream: true,
        service: method.parent,
        method,
        message: receive(call, status),
        header: responseHeader,
        trailer,
      };
    },
  };
}

async function send<T>(call: { write(message: T): void; end(): void }, messages: AsyncIterable<T>) {
  for await (const message of messages) call.write(message);
  call.end();
}

async function* receive<T>(call: AsyncIterable<T>, status: Promise<StatusObject>) {
  const messages = call[Symbol.asyncIterator]();
  for (;;) {
    const next = await messages.next().catch(() => undefined);
    if (!next || next.done) break;
    yield next.value;
  }
  const { code, details, metadata } = await status;
  if (code !== 0) throw toConnectError({ code, details, metadata });
}

const codec = <I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { input: I; output: O },
) => ({
  path: `/${method.parent.typeName}/${method.name}`,
  serialize: (input: MessageInitShape<I>) => Buffer.from(toBinary(method.input, create(method.input, input))),
  deserialize: (bytes: Buffer) => fromBinary(method.output, bytes),
});

const deadline = (timeoutMs: number | undefined) =>
  timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };

function toMetadata(headers: Headers): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of headers) {
    metadata.add(name, name.endsWith("-bin") ? Buffer.from(value, "base64") : value);
  }
  return metadata;
}

function copy(metadata: Metadata, headers: Headers): Headers {
  for (const [name, values] of Object.entries(metadata.toJSON())) {
    for (const value of values)
      headers.append(name, typeof value === "string" ? value : value.toString("base64"));
  }
  return headers;
}

const toHeaders = (metadata: Metadata) => copy(metadata, new Headers());

function toConnectError(error: StatusObject | null): ConnectError {
  if (!error) return new ConnectError("neither an answer nor an error", Code.Internal);
  const headers = toHeaders(error.metadata);
  const { details } = findTrailerError(headers) ?? { details: [] };
  return Object.assign(new ConnectError(error.details, error.code as number, headers), { details });
}
