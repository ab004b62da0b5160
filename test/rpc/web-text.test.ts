import { GrpcWebFetchTransport } from "@protobuf-ts/grpcweb-transport";
import { MessageType, ScalarType } from "@protobuf-ts/runtime";
import { type MethodInfo, RpcError, ServiceType } from "@protobuf-ts/runtime-rpc";
import { fromBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { NoteSchema, startEcho, type Listeners } from "./echo.ts";

/** Echo as another library knows it, whose default is gRPC-Web as text. */
type Note = { text: string; count: number };
const Note = new MessageType<Note>("test.v1.Note", [
  { no: 1, name: "text", kind: "scalar", T: ScalarType.STRING },
  { no: 2, name: "count", kind: "scalar", T: ScalarType.INT32 },
]);
const service = new ServiceType("test.v1.Echo", [
  { name: "One", I: Note, O: Note },
  { name: "Down", I: Note, O: Note, serverStreaming: true },
]);
const method = (name: string): MethodInfo<Note, Note> => {
  const found = service.methods.find((info) => info.name === name);
  if (!found) throw new Error(`Echo has no ${name}`);
  return found as MethodInfo<Note, Note>;
};

const transportTo = ({ http }: Listeners) =>
  new GrpcWebFetchTransport({ baseUrl: `http://127.0.0.1:${http.port}`, format: "text" });

const post = ({ http }: Listeners, body: string | ReadableStream, name = "One") =>
  fetch(`http://127.0.0.1:${http.port}/test.v1.Echo/${name}`, {
    method: "POST",
    headers: { "content-type": "application/grpc-web-text" },
    body,
    ...(body instanceof ReadableStream && { duplex: "half" as const }),
  });

/** A Note with a text of so many letters, in its envelope. */
function framed(letters: number): Buffer {
  const text = Buffer.alloc(letters, "a");
  const head = letters < 128 ? [10, letters] : [10, (letters & 127) | 128, letters >> 7];
  const message = Buffer.concat([Buffer.from(head), text]);
  const envelope = Buffer.alloc(5);
  envelope.writeUInt32BE(message.length, 1);
  return Buffer.concat([envelope, message]);
}

/** The frames of an answer: each piece of base64 may end with padding. */
function framesOf(text: string): { flags: number; data: Buffer }[] {
  const bytes = Buffer.concat((text.match(/[^=]+=*/g) ?? []).map((piece) => Buffer.from(piece, "base64")));
  const frames = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    frames.push({ flags: bytes.readUInt8(at), data: bytes.subarray(at + 5, end) });
    at = end;
  }
  return frames;
}

describe("gRPC-Web as text", () => {
  test("a client of another library calls a method, and hears why it is refused", async () => {
    await using listeners = await startEcho();
    const transport = transportTo(listeners);
    const options = transport.mergeOptions({});
    const { response } = await transport.unary(method("One"), { text: "grüß", count: 3 }, options);
    expect(response).toEqual({ text: "grüß", count: 3 });
    const refused = transport.unary(method("One"), { text: "refuse", count: 0 }, options);
    await expect(refused).rejects.toThrow(RpcError);
    await expect(refused).rejects.toMatchObject({ code: "FAILED_PRECONDITION" });
  });

  test("a client of another library has each message of a stream", async () => {
    await using listeners = await startEcho();
    const transport = transportTo(listeners);
    const call = transport.serverStreaming(
      method("Down"),
      { text: "x", count: 5 },
      transport.mergeOptions({}),
    );
    const texts = [];
    for await (const { text } of call.responses) texts.push(text);
    expect(texts.length).toBe(5);
    expect((await call.status).code).toBe("OK");
  });

  test.each([0, 1, 2, 3, 4, 5, 1_000])("a body in chunks of any size: %i letters", async (letters) => {
    await using listeners = await startEcho();
    const text = framed(letters).toString("base64");
    const chunks = new ReadableStream({
      start(controller) {
        for (let at = 0; at < text.length; at += 7) controller.enqueue(Buffer.from(text.slice(at, at + 7)));
        controller.close();
      },
    });
    const response = await post(listeners, chunks);
    expect(response.headers.get("content-type")).toBe("application/grpc-web-text+proto");
    const [message, end] = framesOf(await response.text());
    expect(fromBinary(NoteSchema, message?.data ?? Buffer.alloc(0)).text).toBe("a".repeat(letters));
    expect([end?.flags, end?.data.toString()]).toEqual([0x80, expect.stringContaining("grpc-status: 0")]);
  });

  test("a body in pieces that each end with their padding", async () => {
    await using listeners = await startEcho();
    const frame = framed(20);
    const pieces = [frame.subarray(0, 1), frame.subarray(1, 6), frame.subarray(6)];
    const response = await post(listeners, pieces.map((piece) => piece.toString("base64")).join(""));
    const [message] = framesOf(await response.text());
    expect(fromBinary(NoteSchema, message?.data ?? Buffer.alloc(0)).text).toBe("a".repeat(20));
  });

  test.each(["AAAA=AAA", "AAAAA", "not base64!!", "AA=A"])("refuses what is no base64: %s", async (body) => {
    await using listeners = await startEcho();
    const [end] = framesOf(await (await post(listeners, body)).text());
    expect(end?.data.toString()).toContain("grpc-status: 3");
    expect(end?.data.toString()).toContain("must%20be%20base64");
  });
});
