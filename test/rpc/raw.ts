import { once } from "node:events";
import { connect as connectHttp2, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http2";
import { connect } from "node:net";

/** Calls a method of Echo over plain HTTP/2 and answers its status; with no body the request stays open. */
export async function callGrpc(
  port: number,
  method: string,
  body: Uint8Array | undefined,
): Promise<IncomingHttpHeaders> {
  using client = openHttp2(port);
  const stream = client.request(method);
  if (body) stream.end(body);
  const answer: IncomingHttpHeaders = {};
  stream.on("response", (header) => Object.assign(answer, header));
  stream.on("trailers", (trailer) => Object.assign(answer, trailer));
  stream.resume();
  await once(stream, "end");
  return answer;
}

/** A client that does no more than it is told; its errors are what the tests do to it. */
export function openHttp2(port: number) {
  const session = connectHttp2(`http://127.0.0.1:${port}`).on("error", () => {});
  const request = (method: string, headers: OutgoingHttpHeaders = {}) =>
    session
      .request(
        {
          ":method": "POST",
          ":path": `/test.v1.Echo/${method}`,
          "content-type": "application/grpc",
          te: "trailers",
          ...headers,
        },
        { endStream: false },
      )
      .on("error", () => {});
  const close = () => session.destroy();
  return { session, request, close, [Symbol.dispose]: close };
}

/** Writes to an HTTP/1.1 socket as it is and answers what came back once `until` matches. */
export async function sendHttp(port: number, request: string, until: RegExp): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  try {
    socket.write(request);
    let answer = "";
    for await (const chunk of socket) {
      answer += String(chunk);
      if (until.test(answer)) break;
    }
    return answer;
  } finally {
    socket.destroy();
  }
}
