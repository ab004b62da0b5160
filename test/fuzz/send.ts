import { Agent, request as httpRequest } from "node:http";
import { type ClientHttp2Session, connect, constants } from "node:http2";
import type { Asked } from "./calls.ts";

/** What came back, by whatever protocol. */
export type Answered = {
  readonly status: number;
  /** Headers and what came behind the body. */
  readonly headers: Readonly<Record<string, unknown>>;
  readonly trailers: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
  /** How it ended: whole, or as its client or the other side broke it off. */
  readonly end: "whole" | "left" | "broken" | "late";
};

export type Sender = Disposable & { send(asked: Asked): Promise<Answered> };

/** Who has seen the first message of a stream that does not end goes this soon; who sees none, this late. */
const lookMs = 10;
const endlessMs = 20_000;
/** Whatever is not answered in this time is a finding. */
const patienceMs = 60_000;

/** Over HTTP/2, one connection after the other. */
export function openHttp2(url: string): Sender {
  let session: ClientHttp2Session | undefined;
  function currentSession(): ClientHttp2Session {
    if (session === undefined || session.closed || session.destroyed)
      session = connect(url, { maxSessionMemory: 200, rejectUnauthorized: false }).on("error", () => {});
    return session;
  }

  return {
    send: ({ protocol, path, headers, body, isCut, isEndless }) =>
      new Promise((resolve) => {
        const isGet = protocol === "GET";
        const head = { ":method": isGet ? "GET" : "POST", ":path": path, ...headers };
        const stream = currentSession().request(head, { endStream: isGet });
        const answer = { status: 0, headers: {}, trailers: {} };
        const chunks: Buffer[] = [];
        let end: Answered["end"] = "broken";
        const leave = (as: Answered["end"]) => {
          end = as;
          stream.close(constants.NGHTTP2_CANCEL);
        };
        const timer = setTimeout(leave, isEndless ? endlessMs : patienceMs, isEndless ? "left" : "late");
        stream.on("error", () => {});
        stream.on("response", (found) => Object.assign(answer, { status: found[":status"], headers: found }));
        stream.on("trailers", (trailers) => Object.assign(answer, { trailers }));
        stream.on("data", (chunk: Buffer) => {
          if (isEndless && chunks.length === 0) setTimeout(leave, lookMs, "left").unref();
          chunks.push(chunk);
        });
        stream.on("end", () => {
          if (end === "broken" && answer.status !== 0) end = "whole";
        });
        stream.on("close", () => {
          clearTimeout(timer);
          if (stream.rstCode !== constants.NGHTTP2_NO_ERROR && end === "whole") end = "broken";
          resolve({ ...answer, body: Buffer.concat(chunks), end });
        });
        if (isCut) stream.write(body.subarray(0, body.length / 2), () => leave("left"));
        else if (!isGet) stream.end(body);
      }),
    [Symbol.dispose]: () => session?.destroy(),
  };
}

/** Over HTTP/1.1, as many connections as there are calls at once. */
export function openHttp1(url: string): Sender {
  const agent = new Agent({ keepAlive: true });
  const { hostname, port } = new URL(url);

  return {
    send: ({ protocol, path, headers, body, isCut, isEndless }) =>
      new Promise((resolve) => {
        const isGet = protocol === "GET";
        const length = isGet ? {} : { "content-length": String(body.length) };
        const options = { agent, hostname, port, path, method: isGet ? "GET" : "POST" };
        const request = httpRequest({ ...options, headers: { ...headers, ...length } });
        const answer = { status: 0, headers: {}, trailers: {} };
        const chunks: Buffer[] = [];
        let end: Answered["end"] = "broken";
        const leave = (as: Answered["end"]) => {
          end = as;
          request.destroy();
        };
        const timer = setTimeout(leave, isEndless ? endlessMs : patienceMs, isEndless ? "left" : "late");
        request.on("error", () => {});
        request.on("response", (response) => {
          Object.assign(answer, { status: response.statusCode ?? 0, headers: response.headers });
          response.on("error", () => {});
          response.on("data", (chunk: Buffer) => {
            if (isEndless && chunks.length === 0) setTimeout(leave, lookMs, "left").unref();
            chunks.push(chunk);
          });
          response.on("end", () => (end = "whole"));
        });
        request.on("close", () => {
          clearTimeout(timer);
          resolve({ ...answer, body: Buffer.concat(chunks), end });
        });
        if (isCut) request.write(body.subarray(0, body.length / 2), () => leave("left"));
        else request.end(isGet ? undefined : body);
      }),
    [Symbol.dispose]: () => agent.destroy(),
  };
}
