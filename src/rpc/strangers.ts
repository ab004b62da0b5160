import type { DescMethod } from "@bufbuild/protobuf";
import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import { isApiKey, keyIn } from "../domain/api-key.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { createLine, type Line } from "../timing/line.ts";
import { needsKey } from "./gate.ts";

/** What is asked for: what needs a key, whether the replica is well, its metrics, or anything else. */
export type Wanted = "work" | "health" | "metrics" | "other";

/** What a call of the method asks for. */
export function wantedOf(method: DescMethod): Wanted {
  if (needsKey(method.parent)) return "work";
  return method === Health.method.check ? "health" : "other";
}

/** A call or a page that is asked for, before anything is made of it. */
export type Arrival = {
  readonly authorization: string | undefined;
  readonly wanted: Wanted;
  readonly connection: object;
  /** Where the call comes from. */
  readonly address: string | undefined;
  /** True on the connection of a proxy, which has calls of others too. */
  readonly isProxied: boolean;
  /** `settled` is to be called once it is known who calls, or when the call is over. */
  begin(this: void, settled: () => void): void;
  /**
   * Too many of its connection's wait. The whole connection ends unless somebody calls there who has a key, or may
   * have, or it is a proxy's.
   */
  turnAway(what: "call" | "connection"): void;
};

/** Lets callers in, and those whom this replica does not know in an order. */
export type Strangers = { admit(arrival: Arrival): void };

/** Of one connection so much waits at most. With keys: as many calls as a client has under way that has just come. */
const mostWithoutKey = 128;
const mostWithKey = 512;

/** So many keys are looked up at a time, as what follows comes back from Postgres at once. */
const mostLookedUp = 32;

/** To say whether a replica is well costs next to nothing. */
const mostHealthInTurn = 32;

/**
 * Calls under keys that were valid a short while ago begin in each turn of the event loop, those of each key in their
 * turn. All others take turns by address and by connection, in what is left: whatever floods of them there are, those
 * who work here do not notice. Nobody is refused for what others at the same address do, many of whom a proxy or NAT
 * may hide; a flood waits for itself. What watches over a replica waits for nothing but its like, for it may end a
 * replica whose answer is late.
 */
export function createStrangers(isFamiliar: (authorization: string) => boolean): Strangers {
  const familiar = createLine({ inTurn: 32, pauseMs: 0 });
  const withKey = createLine({ atOnce: mostLookedUp });
  const withoutKey = createLine();
  const lines: Record<Wanted, Line> = {
    work: withoutKey,
    health: createLine({ inTurn: mostHealthInTurn }),
    metrics: createLine(),
    other: withoutKey,
  };
  const inUse = new WeakSet<object>();
  /** What waits for a look at its key, by that. */
  const waiting = new Map<string, Set<(settled: () => void) => void>>();

  /** Begins when it is its turn, or when another call has shown that its key is valid. */
  function enterLookedUp(
    authorization: string,
    begin: Arrival["begin"],
    enter: (work: Arrival["begin"]) => boolean,
  ) {
    const alike = waiting.get(authorization) ?? new Set();
    waiting.set(authorization, alike);
    const leave = (): boolean => {
      const isThere = alike.delete(start);
      if (alike.size === 0) waiting.delete(authorization);
      return isThere;
    };
    function start(settled: () => void): void {
      if (!leave()) return settled();
      begin(() => {
        settled();
        if (isFamiliar(authorization)) for (const other of waiting.get(authorization) ?? []) other(() => {});
      });
    }
    alike.add(start);
    if (enter(start)) return true;
    leave();
    return false;
  }

  return {
    admit({ authorization, wanted, connection, address = "", isProxied, begin, turnAway }) {
      if (authorization !== undefined && isFamiliar(authorization)) {
        inUse.add(connection);
        const member = { group: authorization, key: connection, mostWaiting: mostWithKey };
        if (!familiar.enter(member, begin)) turnAway("call");
        return;
      }
      const key = keyIn(authorization);
      const isLookedUp = wanted === "work" && key !== undefined && isApiKey(key);
      const mostWaiting = isLookedUp ? mostWithKey : mostWithoutKey;
      const line = isLookedUp ? withKey : lines[wanted];
      const enter = (work: Arrival["begin"]) =>
        line.enter({ group: address, key: connection, mostWaiting }, work);
      if (isLookedUp ? enterLookedUp(authorization ?? "", begin, enter) : enter(begin)) return;
      turnAway(isLookedUp || isProxied || inUse.has(connection) ? "call" : "connection");
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
