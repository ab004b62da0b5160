import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { createWritableIterable } from "@connectrpc/connect/protocol";
import { describe, expect, it, test } from "vitest";
import { all, notes, refusalOf } from "./calls.ts";
import { echoClient, everyClient, grpcClients } from "./clients.ts";
import { startEcho } from "./echo.ts";

const refused = {
  code: "FailedPrecondition",
  message: "100 % refused: not «today»",
  reason: "a test",
  bytes: "AAEC",
  info: [{ reason: "REFUSED", domain: "test", metadata: { code: "refused" } }],
  fields: [{ field: "text", description: "says refuse" }],
};
const broken = {
  code: "Internal",
  message: "internal error",
  reason: null,
  bytes: null,
  info: [],
  fields: [],
};

const iterate = <T>(messages: AsyncIterable<T>) => messages[Symbol.asyncIterator]();

const halfASurrogatePair = () => {
  throw new ConnectError("half \ud83e", Code.Aborted);
};

/** Replaces parts of the request and of the response, as an interceptor may. */
const change: Interceptor = (next) => async (request) => {
  if (request.stream) return next(request);
  const header = new Headers(request.header);
  header.set("x-word", `${header.get("x-word")} of an interceptor`);
  const response = await next({ ...request, header });
  response.trailer.set("x-last-word", "changed");
  return { ...response };
};

describe.each(everyClient)("%s", (name) => {
  test("gets the answer of a unary method", async () => {
    await using listeners = await startEcho();
    const data = new Uint8Array([0, 1, 255]);
    const answer = await echoClient(name, listeners).one({ text: "Grüße 🦜", count: -7, data });
    expect({ ...answer, data: [...answer.data] }).toEqual({
      $typeName: "test.v1.Note",
      text: "Grüße 🦜",
      count: -7,
      data: [0, 1, 255],
    });
  });

  test("exchanges headers and trailers, binary ones too", async () => {
    await using listeners = await startEcho();
    const seen: (string | null | undefined)[] = [];
    await echoClient(name, listeners).one(
      { text: "hello" },
      {
        headers: { "x-word": "parrot", "x-bytes-bin": "AP8Q" },
        onHeader: (header) => seen.push(header.get("x-word"), header.get("x-bytes-bin")),
        onTrailer: (trailer) => seen.push(trailer.get("x-last-word")),
      },
    );
    expect(seen).toEqual(["parrot", "AP8Q", "goodbye"]);
  });

  test("gets the whole of a refusal", async () => {
    await using listeners = await startEcho();
    expect(await refusalOf(echoClient(name, listeners).one({ text: "refuse" }))).toEqual(refused);
  });

  test("learns nothing of a bug", async () => {
    await using listeners = await startEcho();
    expect(await refusalOf(echoClient(name, listeners).one({ text: "break" }))).toEqual(broken);
  });

  test("gets every message of a stream, and its header and trailer", async () => {
    await using listeners = await startEcho();
    const seen: (string | null)[] = [];
    const answers = await all(
      echoClient(name, listeners).down(
        { text: "again", count: 3 },
        {
          headers: { "x-word": "parrot" },
          onHeader: (header) => seen.push(header.get("x-word")),
          onTrailer: (trailer) => seen.push(trailer.get("x-last-word")),
        },
      ),
    );
    expect(answers.map(({ text, count }) => `${text} ${count}`)).toEqual(["again 1", "again 2", "again 3"]);
    expect(seen).toEqual(["parrot", "goodbye"]);
  });

  test.each(["refuse", "break"])("gets a stream that has nothing to say but %s", async (text) => {
    await using listeners = await startEcho();
    const call = all(echoClient(name, listeners).down({ text, count: 0 }));
    expect(await refusalOf(call)).toEqual({ refuse: refused, break: broken }[text]);
  });

  test.each(["refuse", "break"])("gets the messages of a stream before it says %s", async (text) => {
    await using listeners = await startEcho();
    const counts: number[] = [];
    const read = async () => {
      for await (const { count } of echoClient(name, listeners).down({ text, count: 2 })) counts.push(count);
    };
    expect(await refusalOf(read())).toEqual({ refuse: refused, break: broken }[text]);
    expect(counts).toEqual([1, 2]);
  });

  test("sends a stream and gets one answer", async () => {
    await using listeners = await startEcho();
    const answer = await echoClient(name, listeners).up(notes("a", "b", "c"));
    expect(answer).toMatchObject({ text: "a b c", count: 3 });
  });

  test("has a stream refused that it sends", async () => {
    await using listeners = await startEcho();
    expect(await refusalOf(echoClient(name, listeners).up(notes("a", "refuse")))).toEqual(refused);
  });

  test("is seen by every interceptor once, the first one outermost, streams included", async () => {
    const seen: string[] = [];
    const named =
      (label: string): Interceptor =>
      (next) =>
      async (request) => {
        seen.push(`${label} ${request.method.name}`);
        const response = await next(request);
        seen.push(`${label} back`);
        return response;
      };
    await using listeners = await startEcho({ interceptors: [named("outer"), named("inner")] });
    const client = echoClient(name, listeners);
    await client.one({});
    await all(client.down({ count: 1 }));
    expect(seen.slice(0, 4)).toEqual(["outer One", "inner One", "inner back", "outer back"]);
    expect(seen.slice(4)).toEqual(["outer Down", "inner Down", "inner back", "outer back"]);
  });

  test("gets what interceptors make of a call", async () => {
    await using listeners = await startEcho({ interceptors: [change] });
    const seen: (string | null)[] = [];
    await echoClient(name, listeners).one(
      {},
      {
        headers: { "x-word": "word" },
        onHeader: (header) => seen.push(header.get("x-word")),
        onTrailer: (trailer) => seen.push(trailer.get("x-last-word")),
      },
    );
    expect(seen).toEqual(["word of an interceptor", "changed"]);
  });

  test("is refused with half a surrogate pair in the message", async () => {
    await using listeners = await startEcho({ one: halfASurrogatePair });
    expect(await refusalOf(echoClient(name, listeners).one({}))).toMatchObject({
      code: "Aborted",
      message: "half \ufffd",
    });
  });
});

describe.each(grpcClients)("%s", (name) => {
  it("sends and receives at once", async () => {
    await using listeners = await startEcho();
    const questions = createWritableIterable<{ text: string }>();
    const answers = iterate(echoClient(name, listeners).both(questions));
    for (const text of ["a", "b", "c"]) {
      void questions.write({ text });
      expect((await answers.next()).value).toMatchObject({ text });
    }
    questions.close();
    expect(await answers.next()).toEqual({ done: true, value: undefined });
  });

  it("has both directions refused after the first message", async () => {
    await using listeners = await startEcho();
    const answers = iterate(echoClient(name, listeners).both(notes("a", "refuse", "b")));
    expect((await answers.next()).value).toMatchObject({ text: "a" });
    expect(await refusalOf(answers.next())).toEqual(refused);
  });
});
