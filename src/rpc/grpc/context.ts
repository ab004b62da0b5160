import type { DescMethod } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createContextValues,
  type ContextValues,
  type HandlerContext,
} from "@connectrpc/connect";
import type { Metadata, ServerInterceptingCallInterface } from "@grpc/grpc-js";
import { toHeaders } from "./metadata.ts";

/** The context of one gRPC call. `end` aborts its signal; only the first reason counts. */
export type GrpcContext = HandlerContext & { readonly ended: boolean; end(reason: ConnectError): void };

/**
 * Makes each part when it is first asked for: Connect's own context, with its three Headers and three AbortControllers,
 * costs as much as the rest of a unary call.
 */
export function createGrpcContext(
  method: DescMethod,
  call: ServerInterceptingCallInterface,
  metadata: Metadata,
): GrpcContext {
  const deadline = Number(call.getDeadline());
  let requestHeader: Headers | undefined;
  let responseHeader: Headers | undefined;
  let responseTrailer: Headers | undefined;
  let values: ContextValues | undefined;
  let controller: AbortController | undefined;
  let timer: NodeJS.Timeout | undefined;
  let ended: ConnectError | undefined;

  const end = (reason: ConnectError) => {
    ended ??= reason;
    clearTimeout(timer);
    controller?.abort(ended);
  };
  const openSignal = () => {
    const opened = new AbortController();
    if (ended) opened.abort(ended);
    else if (deadline !== Infinity)
      timer = setTimeout(() => end(deadlineExceeded()), clamp(deadline - Date.now()));
    return opened;
  };

  return {
    method,
    service: method.parent,
    protocolName: "grpc",
    requestMethod: "POST",
    url: `http://${call.getHost()}/${method.parent.typeName}/${method.name}`,
    timeoutMs: () => (deadline === Infinity ? undefined : deadline - Date.now()),
    end,
    get ended() {
      return ended !== undefined;
    },
    get signal() {
      return (controller ??= openSignal()).signal;
    },
    get requestHeader() {
      return (requestHeader ??= toHeaders(metadata));
    },
    get responseHeader() {
      return (responseHeader ??= new Headers());
    },
    get responseTrailer() {
      return (responseTrailer ??= new Headers());
    },
    get values() {
      return (values ??= createContextValues());
    },
  };
}

/** What setTimeout takes; a deadline beyond is 24 days off. */
const clamp = (ms: number): number => Math.min(Math.max(0, ms), 2 ** 31 - 1);

/** Why grpc-js says that a call is over before its answer was sent. */
export const whyCancelled = (call: ServerInterceptingCallInterface): ConnectError =>
  Number(call.getDeadline()) <= Date.now()
    ? deadlineExceeded()
    : new ConnectError("the call was cancelled", Code.Canceled);

const deadlineExceeded = () => new ConnectError("the deadline was exceeded", Code.DeadlineExceeded);
