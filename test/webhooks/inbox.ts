import { once } from "node:events";
import { type IncomingHttpHeaders, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

/** One request, as it came. */
export type Received = {
  readonly id: string;
  readonly type: string;
  readonly timestamp: string;
  readonly data: Record<string, unknown>;
  readonly body: string;
  readonly headers: IncomingHttpHeaders;
};

export type Answer = number | { readonly status: number; readonly headers: Record<string, string> };

const taken = () => 200;

/** A receiver on loopback that reads JSON, keeps all that comes, and answers 200 until it is told something else. */
export async function startInbox() {
  const received: Received[] = [];
  let answer: (one: Received) => Answer | Promise<Answer> = taken;
  const server = createServer(async (request, response) => {
    const body = await text(request).catch(() => undefined);
    // Whoever sent it is gone.
    if (body === undefined) return;
    const { type, timestamp, data } = JSON.parse(body);
    const one = {
      id: String(request.headers["webhook-id"]),
      type,
      timestamp,
      data,
      body,
      headers: request.headers,
    };
    received.push(one);
    const given = await answer(one);
    const { status, headers = {} } = typeof given === "number" ? { status: given } : given;
    response.writeHead(status, headers).end("thanks");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port: own } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${own}/hooks`,
    received,
    answerWith(next: typeof answer) {
      answer = next;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

export type Inbox = Awaited<ReturnType<typeof startInbox>>;

/** The numbers of the events that came, each as often as it did, in their order. */
export const sequencesIn = (received: readonly Received[]): number[] =>
  received
    .flatMap(({ data }) => ("events" in data ? (data["events"] as { sequence: string }[]) : [data]))
    .map(({ sequence }) => Number(sequence))
    .toSorted((a, b) => a - b);
