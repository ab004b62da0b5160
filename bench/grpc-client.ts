import {
  type DescMessage,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
  create,
  fromBinary,
  toBinary,
} from "@bufbuild/protobuf";
import { type ClientOptions, Client, Metadata, credentials } from "@grpc/grpc-js";

export type Call = <I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
) => Promise<MessageShape<O>>;

/** Unary calls over grpc-js with the generated messages: the least that a worker of its own language could do. */
export function openGrpcClient(
  address: string,
  apiKey: string,
  options: ClientOptions = {},
): { call: Call; close: () => void } {
  const client = new Client(address, credentials.createInsecure(), options);
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${apiKey}`);
  const call: Call = (method, request) =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        `/${method.parent.typeName}/${method.name}`,
        (message: MessageShape<typeof method.input>) => Buffer.from(toBinary(method.input, message)),
        (bytes) => fromBinary(method.output, bytes),
        create(method.input, request),
        metadata,
        (error, answer) => {
          if (answer === undefined) reject(error ?? new Error("a call was left without an answer"));
          else resolve(answer);
        },
      );
    });
  return { call, close: () => client.close() };
}
