import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import { isApiKey, keyIn } from "../domain/api-key.ts";
import { createLine } from "../timing/line.ts";

/** A call or a page that is asked for, before anything is made of it. */
export type Arrival = {
  readonly authorization: string | undefined;
  readonly needsKey: boolean;
  readonly connection: object;
  /** Where the connection comes from. */
  readonly address: string | undefined;
  /** `settled` is to be called once it is known who calls, or when the call is over. */
  begin(settled: () => void): void;
  /** Too many of its connection's wait. The whole connection ends unless somebody calls there who has a key, or may have. */
  turnAway(what: "call" | "connection"): void;
};

/** Lets callers in, and those whom this replica does not know in an order. */
export type Strangers = { admit(arrival: Arrival): void };

/** Of one connection so much waits at most. With keys: as many calls as a client has under way that has just come. */
const mostWithoutKey = 128;
const mostWithKey = 512;

/** So many keys are looked up at a time, as what follows comes back from Postgres at once. */
const mostLookedUp = 32;

/**
 * Calls under keys that were valid a short while ago begin in each turn of the event loop, those of each key in their turn.
 * All others take turns by address and by connection, in what is left: whatever floods of them there are, those who work
 * here do not notice. Nobody is refused for what
 * others at the same address do, many of whom a proxy or NAT may hide; a flood waits for itself.
 */
export function createStrangers(isFamiliar: (authorization: string) => boolean): Strangers {
  const familiar = createLine({ inTurn: 32, pauseMs: 0 });
  const withoutKey = createLine();
  const withKey = createLine({ atOnce: mostLookedUp });
  const inUse = new WeakSet<object>();

  return {
    admit({ authorization, needsKey, connection, address = "", begin, turnAway }) {
      if (authorization !== undefined && isFamiliar(authorization)) {
        inUse.add(connection);
        const member = { group: authorization, key: connection, mostWaiting: mostWithKey };
        if (!familiar.enter(member, begin)) turnAway("call");
        return;
      }
      const key = keyIn(authorization);
      const isLookedUp = needsKey && key !== undefined && isApiKey(key);
      const mostWaiting = isLookedUp ? mostWithKey : mostWithoutKey;
      const line = isLookedUp ? withKey : withoutKey;
      if (line.enter({ group: address, key: connection, mostWaiting }, begin)) return;
      turnAway(isLookedUp || inUse.has(connection) ? "call" : "connection");
    },
  };
}

/** Has it said of a call that it is known who calls. */
export const settledKey = createContextKey<() => void>(() => {});

/** A gate that says so. */
export const settling =
  (gate: (context: HandlerContext) => void | Promise<void>) =>
  async (context: HandlerContext): Promise<void> => {
    try {
      await gate(context);
    } finally {
      context.values.get(settledKey)();
    }
  };
