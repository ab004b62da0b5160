import { create, type DescMessage, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createContextKey,
  type HandlerContext,
  type Interceptor,
  type MethodImplSpec,
} from "@connectrpc/connect";

/** A method inside its interceptors. */
type Invoke = Parameters<Interceptor>[0];
type Request = Parameters<Invoke>[0];
type Response = Awaited<ReturnType<Invoke>>;
type StreamSpec = Exclude<MethodImplSpec, { kind: "unary" }>;

/** Finds the call again behind interceptors, which may replace its request but keep its context values. */
const callKey = createContextKey<HandlerContext | undefined>(undefined);

/** Answers one call of a method. */
export type InvokeMethod = (context: HandlerContext, messages: AsyncIterable<Message>) => Promise<Response>;

/** Puts the interceptors around a method, once for all its calls; they see what they see on a Connect server. */
export function composeMethod(spec: MethodImplSpec, interceptors: Interceptor[]): InvokeMethod {
  const invoke = interceptors.reduceRight<Invoke>((next, interceptor) => interceptor(next), innermost(spec));
  return async (context, messages) => {
    context.values.set(callKey, context);
    const common = commonRequest(context);
    return spec.kind === "unary"
      ? invoke(
          Object.assign(common, {
            stream: false as const,
            method: spec.method,
            message: await only(messages),
          }),
        )
      : invoke(Object.assign(common, { stream: true as const, method: spec.method, message: messages }));
  };
}

function innermost(spec: MethodImplSpec): Invoke {
  const mismatch = () => new Error(`an interceptor changed the kind of ${spec.method.name}`);
  if (spec.kind === "unary") {
    return async (request) => {
      if (request.stream) throw mismatch();
      const context = contextOf(request);
      const message = create(spec.method.output, await spec.impl(request.message, context));
      return Object.assign(commonResponse(context), { stream: false as const, method: spec.method, message });
    };
  }
  return async (request) => {
    if (!request.stream) throw mismatch();
    const context = contextOf(request);
    const message = await answers(spec, request.message, context);
    return Object.assign(commonResponse(context), { stream: true as const, method: spec.method, message });
  };
}

async function answers(spec: StreamSpec, requests: AsyncIterable<Message>, context: HandlerContext) {
  const { output } = spec.method;
  switch (spec.kind) {
    case "client_streaming":
      return single(create(output, await spec.impl(requests, context)));
    case "server_streaming":
      return created(output, spec.impl(await only(requests), context));
    case "bidi_streaming":
      return created(output, spec.impl(requests, context));
  }
}

async function* single(message: Message) {
  yield message;
}

async function* created(desc: DescMessage, messages: AsyncIterable<MessageInitShape<DescMessage>>) {
  for await (const message of messages) yield create(desc, message);
}

async function only(messages: AsyncIterable<Message>): Promise<Message> {
  let found: Message | undefined;
  for await (const message of messages) {
    if (found) throw new ConnectError("this method takes one message, and more came", Code.Unimplemented);
    found = message;
  }
  if (!found) throw new ConnectError("this method takes one message, and none came", Code.Unimplemented);
  return found;
}

const commonRequest = (context: HandlerContext) => ({
  service: context.service,
  requestMethod: context.requestMethod,
  url: context.url,
  contextValues: context.values,
  get signal() {
    return context.signal;
  },
  get header() {
    return context.requestHeader;
  },
});

const commonResponse = (context: HandlerContext) => ({
  service: context.service,
  get header() {
    return context.responseHeader;
  },
  get trailer() {
    return context.responseTrailer;
  },
});

function contextOf(request: Request): HandlerContext {
  const call = request.contextValues.get(callKey);
  if (!call) throw new Error("an interceptor replaced the context values of a call");
  const { method, service, protocolName, requestMethod, url, timeoutMs } = call;
  return {
    method,
    service,
    protocolName,
    requestMethod,
    url,
    timeoutMs,
    values: request.contextValues,
    get signal() {
      return request.signal;
    },
    get requestHeader() {
      return request.header;
    },
    get responseHeader() {
      return call.responseHeader;
    },
    get responseTrailer() {
      return call.responseTrailer;
    },
  };
}
