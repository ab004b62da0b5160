import type { Interceptor } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { withKey } from "./api-key.ts";

/* Transports that send a key with every call. */

const overHttp = (baseUrl: string, key: string) => ({
  baseUrl,
  httpVersion: "1.1" as const,
  interceptors: [withKey(key)],
});

/** The interceptors see what is sent, and may answer in the service's place. */
export const grpcTo = (baseUrl: string, key: string, interceptors: Interceptor[] = []) =>
  createGrpcTransport({ baseUrl, interceptors: [withKey(key), ...interceptors] });

export const connectTo = (baseUrl: string, key: string, options: { useBinaryFormat?: boolean } = {}) =>
  createConnectTransport({ ...overHttp(baseUrl, key), ...options });

export const grpcWebTo = (baseUrl: string, key: string) => createGrpcWebTransport(overHttp(baseUrl, key));
