import type { ClientRequest, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { SendFailure } from "../domain/send-failure.ts";
import { NotSent } from "./not-sent.ts";

/** What came back, and what went wrong. */
export type Exchange = {
  readonly status: number | undefined;
  readonly failure: SendFailure | undefined;
  readonly answer: string;
  readonly retryAfter: string | undefined;
  /** A connection that was kept had ended before its receiver heard of the request. */
  readonly isStale: boolean;
};

const mostAnswerBytes = 1_024;

/**
 * Sends an opened request, and reads how its answer begins: the connection is kept for others only if that is all of
 * it. Never rejects; ends at once when the signal does, with its reason if that is a `NotSent`.
 */
export async function exchange(outgoing: ClientRequest, body: string, until: AbortSignal): Promise<Exchange> {
  const stage = watchStage(outgoing);
  const arrived = Promise.withResolvers<IncomingMessage>();
  const ended = Promise.withResolvers<never>();
  const giveUp = () => ended.reject(until.reason);
  until.addEventListener("abort", giveUp);
  outgoing.on("error", ended.reject);
  outgoing.once("response", arrived.resolve);
  // Without this, nothing is told of an answer that wants to speak another protocol from now on.
  outgoing.once("upgrade", (_response, socket) => {
    socket.destroy();
    ended.reject(new NotSent("bad_answer"));
  });

  let response: IncomingMessage | undefined;
  let answer = "";
  let failure: SendFailure | undefined;
  try {
    outgoing.end(body);
    if (until.aborted) giveUp();
    response = await Promise.race([arrived.promise, ended.promise]);
    answer = await Promise.race([beginningOf(response), ended.promise]);
    failure = failureIn(response.statusCode);
  } catch (error) {
    failure = failureOf(error, stage());
    outgoing.destroy();
  } finally {
    until.removeEventListener("abort", giveUp);
    // Its connection is of no use to others while nobody reads the rest of the request.
    if (!outgoing.writableFinished) outgoing.destroy();
  }
  return {
    status: response?.statusCode,
    failure,
    answer,
    retryAfter: response?.headers["retry-after"],
    isStale: outgoing.reusedSocket && response === undefined && failure === "connection_lost",
  };
}

type Stage = "connecting" | "shaking_hands" | "connected";

/** How far the connection of a request is. */
function watchStage(outgoing: ClientRequest): () => Stage {
  let stage: Stage = "connecting";
  outgoing.once("socket", (socket: Socket) => {
    if (outgoing.reusedSocket) stage = "connected";
    else {
      socket.once("connect", () => (stage = "encrypted" in socket ? "shaking_hands" : "connected"));
      socket.once("secureConnect", () => (stage = "connected"));
    }
  });
  return () => stage;
}

async function beginningOf(response: IncomingMessage): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let left = mostAnswerBytes;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    text += decoder.decode(chunk.subarray(0, left), { stream: true });
    left -= chunk.length;
    if (left <= 0) break;
  }
  // Postgres keeps no text with it.
  return text.replaceAll("\0", "\uFFFD");
}

function failureIn(status = 0): SendFailure | undefined {
  if (status >= 200 && status <= 299) return undefined;
  if (status === 410) return "gone";
  return status >= 300 && status <= 399 ? "redirect" : "status";
}

function failureOf(error: unknown, stage: Stage): SendFailure {
  if (error instanceof NotSent) return error.failure;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (stage === "shaking_hands") return "tls";
  if (stage === "connecting") return code === "ECONNREFUSED" ? "connection_refused" : "connection_failed";
  return code.startsWith("HPE_") ? "bad_answer" : "connection_lost";
}
