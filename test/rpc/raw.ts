import { once } from "node:events";
import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { connect } from "node:net";

/** Calls a method of Echo over plain HTTP/2 and answers its status; with no body the request stays open. */
export async function callGrpc(
  port: number,
  method: string,
  body: Uint8Array | undefined,
): Promise<IncomingHttpHeaders> {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  try {
    const stream = session.request(grpcHead(method), { endStream: false });
    if (body) stream.end(body);
    const answer: IncomingHttpHeaders = {};
    stream.on("response", (header) => Object.assign(answer, header));
    stream.on("trailers", (trailer) => Object.assign(answer, trailer));
    stream.resume();
    await once(stream, "end");
    return answer;
  } finally {
    session.destroy();
  }
}

/** The headers of a gRPC call of Echo. */
export const grpcHead = (method: string) => ({
  ":method": "POST",
  ":path": `/test.v1.Echo/${method}`,
  "content-type": "application/grpc",
  te: "trailers",
});

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
