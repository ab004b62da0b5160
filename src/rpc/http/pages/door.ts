import type { IncomingMessage, ServerResponse } from "node:http";
import type { CallsInHand } from "../../calls/calls-in-hand.ts";
import type { ServedPath } from "../paths.ts";

/** Paths that somebody else than the RPCs answers, among the same calls in hand. */
export type Door = {
  /** What is there; of what it takes beyond these it says that there is nothing. */
  readonly paths: readonly ServedPath[];
  takes(path: string): boolean;
  /** What a request names its caller by. */
  authorizationOf(request: IncomingMessage): string;
  /**
   * Says that it is settled once it is known who calls. Rejects if the answer could not be written. It tells a client
   * itself that asks whether to go on.
   */
  answer(request: IncomingMessage, response: ServerResponse, settled: () => void): Promise<void>;
};

export type OpenDoor = (calls: CallsInHand) => Door;
