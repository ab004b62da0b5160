import type { IncomingMessage, ServerResponse } from "node:http";
import type { CallsInHand } from "../calls-in-hand.ts";

/** Paths that somebody else than the RPCs answers, among the same calls in hand. */
export type Door = {
  takes(path: string): boolean;
  /** Rejects if the answer could not be written. It tells a client itself that asks whether to go on. */
  answer(request: IncomingMessage, response: ServerResponse): Promise<void>;
};

export type OpenDoor = (calls: CallsInHand) => Door;
