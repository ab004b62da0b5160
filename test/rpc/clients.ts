import { createClient, type Client, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { Echo, type Listeners } from "./echo.ts";
import { createGrpcJsTransport } from "./grpc-js-transport.ts";

const at = ({ port }: { port: number }) => `http://127.0.0.1:${port}`;

/**
 * Node gives a client 10 MB by default, and resets a stream whose answer comes while more than that waits to be sent.
 */
const roomy = { nodeOptions: { maxSessionMemory: 100 } };

const transports: Record<string, (listeners: Listeners) => Transport> = {
  "grpc-js": (listeners) =>
    createGrpcJsTransport(listeners.grpc.port, { "grpc.max_receive_message_length": -1 }),
  "connect-node gRPC": (listeners) => createGrpcTransport({ baseUrl: at(listeners.grpc), ...roomy }),
  "Connect JSON": (listeners) => createConnectTransport({ baseUrl: at(listeners.http), httpVersion: "1.1" }),
  "Connect binary": (listeners) =>
    createConnectTransport({ baseUrl: at(listeners.http), httpVersion: "1.1", useBinaryFormat: true }),
  "gRPC-Web": (listeners) => createGrpcWebTransport({ baseUrl: at(listeners.http), httpVersion: "1.1" }),
};

/** The names of the clients, one per protocol and library. */
export const everyClient = Object.keys(transports);
/** Those that can send and receive at once; HTTP/1.1 cannot. */
export const grpcClients = ["grpc-js", "connect-node gRPC"];

export function echoClient(name: string, listeners: Listeners): Client<typeof Echo> {
  const transport = transports[name];
  if (!transport) throw new Error(`there is no client ${name}`);
  return createClient(Echo, transport(listeners));
}
