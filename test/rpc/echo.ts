import { create, createFileRegistry, type Message, setExtension } from "@bufbuild/protobuf";
import { messageDesc, serviceDesc, type GenMessage, type GenService } from "@bufbuild/protobuf/codegenv2";
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorProtoSchema,
  MethodOptions_IdempotencyLevel,
  MethodOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { max_request_bytes } from "../../src/gen/callsheet/v1/options_pb.ts";
import { BadRequestSchema, ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { createBytesInHand } from "../../src/rpc/requests/bytes-in-hand.ts";
import { startGrpcListener } from "../../src/rpc/grpc/listener.ts";
import { type HttpListenerOptions, startHttpListener } from "../../src/rpc/http/listener.ts";
import { type Listener, type ListenerOptions, maxMessageBytes } from "../../src/rpc/listener.ts";
import { createStrangers } from "../../src/rpc/gate/strangers.ts";
import { serviceEntry } from "../../src/rpc/services/service-table.ts";

/** The message of every method of Echo, both ways. */
export type Note = Message<"test.v1.Note"> & { text: string; count: number; data: Uint8Array };

const field = (name: string, number: number, type: Type) => ({
  name,
  number,
  type,
  label: Label.OPTIONAL,
  jsonName: name,
});
function largest(idempotencyLevel: MethodOptions_IdempotencyLevel) {
  const options = create(MethodOptionsSchema, { idempotencyLevel });
  setExtension(options, max_request_bytes, maxMessageBytes);
  return options;
}
const method = (
  name: string,
  clientStreaming: boolean,
  serverStreaming: boolean,
  idempotencyLevel = MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN,
) => ({
  name,
  options: largest(idempotencyLevel),
  clientStreaming,
  serverStreaming,
  inputType: ".test.v1.Note",
  outputType: ".test.v1.Note",
});

const proto = create(FileDescriptorProtoSchema, {
  name: "test/v1/echo.proto",
  package: "test.v1",
  syntax: "proto3",
  messageType: [
    {
      name: "Note",
      field: [field("text", 1, Type.STRING), field("count", 2, Type.INT32), field("data", 3, Type.BYTES)],
    },
  ],
  service: [
    {
      name: "Echo",
      method: [
        method("One", false, false),
        method("Look", false, false, MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS),
        method("Down", false, true),
        method("Up", true, false),
        method("Both", true, true),
      ],
    },
  ],
});
const [file] = createFileRegistry(proto, () => undefined).files;
if (!file) throw new Error("the descriptor of Echo has no file");

export const NoteSchema: GenMessage<Note> = messageDesc(file, 0);

type Kind<K extends string> = { methodKind: K; input: typeof NoteSchema; output: typeof NoteSchema };

export const Echo: GenService<{
  one: Kind<"unary">;
  look: Kind<"unary">;
  down: Kind<"server_streaming">;
  up: Kind<"client_streaming">;
  both: Kind<"bidi_streaming">;
}> = serviceDesc(file, 0);

/** What a refusal of the service looks like: two details, and metadata of both sorts. */
export const refusal = () =>
  new ConnectError(
    "100 % refused: not «today»",
    Code.FailedPrecondition,
    { "x-reason": "a test", "x-reason-bin": "AAEC" },
    [
      { desc: ErrorInfoSchema, value: { reason: "REFUSED", domain: "test", metadata: { code: "refused" } } },
      { desc: BadRequestSchema, value: { fieldViolations: [{ field: "text", description: "says refuse" }] } },
    ],
  );

/** Echoes; "refuse" is refused, "break" is a bug, and "-after" says both after the first message. */
const answer = (note: Note): Note => {
  if (note.text === "refuse") throw refusal();
  if (note.text === "break") throw new Error("the password is hunter2");
  return note;
};

const mirror = (context: HandlerContext) => {
  context.responseHeader.set("x-word", context.requestHeader.get("x-word") ?? "none");
  context.responseHeader.set("x-bytes-bin", context.requestHeader.get("x-bytes-bin") ?? "");
  context.responseTrailer.set("x-last-word", "goodbye");
};

const echo: ServiceImpl<typeof Echo> = {
  one(note, context) {
    mirror(context);
    return answer(note);
  },
  look: answer,
  async *down(note, context) {
    mirror(context);
    for (let count = 1; count <= note.count; count += 1) yield { text: note.text, count };
    answer(note);
  },
  async up(notes, context) {
    mirror(context);
    const texts: string[] = [];
    for await (const note of notes) texts.push(answer(note).text);
    return { text: texts.join(" "), count: texts.length };
  },
  async *both(notes, context) {
    mirror(context);
    for await (const note of notes) yield answer(note);
  },
};

export type Listeners = AsyncDisposable & { grpc: Listener; http: Listener };

type Given = Partial<ServiceImpl<typeof Echo>> & Partial<HttpListenerOptions>;

/** Serves Echo on both listeners; given methods and options replace the usual ones. */
export async function startEcho(given: Given = {}): Promise<Listeners> {
  const { services = [], interceptors = [], gate = () => {}, pages = {}, door, ...rest } = given;
  const { connectionMaxAgeMs = Infinity, refused = () => {}, observe = [], ...others } = rest;
  const { certificates, findAddress, keepAliveMs = 65_000, corsOrigins = [], basePath = "" } = rest;
  const { strangers = createStrangers() } = rest;
  const { bytesInHand = createBytesInHand({ maxBytes: Infinity }), largeTurns, ...methods } = others;
  const options: ListenerOptions = {
    host: "127.0.0.1",
    port: 0,
    observe,
    strangers,
    services: [serviceEntry(Echo, { ...echo, ...methods }), ...services],
    interceptors,
    gate,
    connectionMaxAgeMs,
    refused,
    bytesInHand,
    ...(largeTurns && { largeTurns }),
    certificates,
    ...(findAddress && { findAddress }),
  };
  const [grpc, http] = await Promise.all([
    startGrpcListener(options),
    startHttpListener({ ...options, pages, keepAliveMs, corsOrigins, basePath, ...(door && { door }) }),
  ]);
  return {
    grpc,
    http,
    async [Symbol.asyncDispose]() {
      await Promise.all([grpc.stop(0), http.stop(0)]);
    },
  };
}
