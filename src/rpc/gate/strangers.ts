import type { DescMethod } from "@bufbuild/protobuf";
import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import type { ApiKeys } from "../../access/api-keys.ts";
import { type WrongKeys, createWrongKeys } from "../../access/wrong-keys.ts";
import { isApiKey, keyIn } from "../../domain/api-key.ts";
import { neighboursOf } from "../../domain/networks.ts";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { createLine, type Line } from "../../timing/line.ts";
import { needsKey, refusalKey } from "./gate.ts";

/** What is asked for: what needs a key, whether the replica is well, its metrics, or anything else. */
export type Wanted = "work" | "health" | "metrics" | "other";

/** What a call of the method asks for. */
export function wantedOf(method: DescMethod): Wanted {
  if (needsKey(method.parent)) return "work";
  return method === Health.method.check ? "health" : "other";
}

/** Is to be called once it is known who calls, or when the call is over. */
export type Settled = (() => void) & {
  /** Why the call will be refused, where that was found out before it began. */
  readonly refusal?: unknown;
};

/** A call or a page that is asked for, before anything is made of it. */
export type Arrival = {
  readonly authorization: string | undefined;
  readonly wanted: Wanted;
  readonly connection: object;
  /** Where the call comes from. */
  readonly address: string | undefined;
  /** True on the connection of a proxy, which has calls of others too. */
  readonly isProxied: boolean;
  begin(this: void, settled: Settled): void;
  /**
   * Too many of its connection's wait. The whole connection ends unless somebody calls there who has a key, or may
   * have, or it is a proxy's.
   */
  turnAway(what: "call" | "connection"): void;
};

/** One whose address stands for all that its sender may have. */
type Placed = Arrival & { readonly address: string };

/** Lets callers in, and those whom this replica does not know in an order. */
export type Strangers = { admit(arrival: Arrival): void };

type Keys = Pick<ApiKeys, "isFamiliar" | "isValid">;

/** Leaves it to the gate which keys are valid. */
const unasked: Keys = { isFamiliar: () => false, isValid: () => Promise.resolve(true) };

/** Of one connection so much waits at most. With keys: as many calls as a client has under way that has just come. */
const mostWithoutKey = 128;
const mostWithKey = 512;

/** Clients repeat at once what was refused unseen, so that under wrong keys it is refused so late. */
const turnedAwayAfterMs = 1_000;

/** So many keys are looked up at the same time, shared out among the connections. */
const mostLookedUp = 16_384;

/** To say whether a replica is well costs next to nothing. */
const mostHealthInTurn = 32;

/**
 * Calls under keys that were valid a short while ago begin in each turn of the event loop, those of each key in their
 * turn. A key that is not known yet is looked up at once, with all others that come meanwhile, which costs little: one
 * that is valid waits for no wrong one. All else takes turns by address and by connection, in what is left: whatever
 * floods of it there are, those who work here do not notice. Nobody who has a key is refused for what others at the
 * same address do, many of whom a proxy or NAT may hide; a flood waits for itself. What watches over a replica waits
 * for nothing but its like, for it may end a replica whose answer is late.
 */
export function createStrangers(keys: Keys = unasked, wrongKeys: WrongKeys = createWrongKeys()): Strangers {
  const familiar = createLine({ inTurn: 32, pauseMs: 0 });
  const refused = createLine();
  const withoutKey = createLine();
  const lines: Record<Wanted, Line> = {
    work: withoutKey,
    health: createLine({ inTurn: mostHealthInTurn }),
    metrics: createLine(),
    other: withoutKey,
  };
  const inUse = new WeakSet<object>();
  /** How many calls of a connection wait for a look at their keys. */
  const lookingUp = new Map<object, number>();

  function admitFamiliar(authorization: string, { connection, address, begin, turnAway }: Placed) {
    inUse.add(connection);
    wrongKeys.sawValid(address);
    const member = { group: authorization, key: connection, mostWaiting: mostWithKey };
    if (!familiar.enter(member, begin)) turnAway("call");
  }

  /** What comes of the look at a key; what it throws is why the call is refused. */
  async function lookUp(authorization: string, connection: object): Promise<boolean> {
    lookingUp.set(connection, (lookingUp.get(connection) ?? 0) + 1);
    try {
      return await keys.isValid(authorization);
    } finally {
      const left = (lookingUp.get(connection) ?? 1) - 1;
      if (left === 0) lookingUp.delete(connection);
      else lookingUp.set(connection, left);
    }
  }

  /** Begins in turn with what will be refused; why is asked when it begins. */
  function admitRefused({ connection, address, begin, turnAway }: Placed, why: () => unknown): void {
    const member = { group: address, key: connection, mostWaiting: mostWithKey };
    const refuse = (settled: () => void) => begin(Object.assign(() => settled(), { refusal: why() }));
    if (!refused.enter(member, refuse)) setTimeout(() => turnAway("call"), turnedAwayAfterMs).unref();
  }

  async function admitLookedUp(authorization: string, arrival: Placed): Promise<void> {
    const { connection, address, turnAway } = arrival;
    const share = Math.max(1, Math.floor(mostLookedUp / Math.max(1, lookingUp.size)));
    if ((lookingUp.get(connection) ?? 0) >= Math.min(mostWithKey, share)) return turnAway("call");
    let isValid: boolean;
    try {
      isValid = await lookUp(authorization, connection);
    } catch (thrown) {
      return admitRefused(arrival, () => thrown);
    }
    if (isValid) admitFamiliar(authorization, arrival);
    else admitRefused(arrival, () => wrongKeys.refusalFor(address));
  }

  return {
    admit(given) {
      const address = neighboursOf(given.address ?? "");
      const arrival = { ...given, address };
      const { authorization = "", wanted, connection, isProxied, begin, turnAway } = arrival;
      if (authorization !== "" && keys.isFamiliar(authorization))
        return admitFamiliar(authorization, arrival);
      const key = keyIn(authorization);
      if (wanted === "work" && key !== undefined && isApiKey(key)) {
        return void admitLookedUp(authorization, arrival);
      }
      const member = { group: address, key: connection, mostWaiting: mostWithoutKey };
      if (!lines[wanted].enter(member, begin))
        turnAway(isProxied || inUse.has(connection) ? "call" : "connection");
    },
  };
}

/** Has it said of a call that it is known who calls. */
export const settledKey = createContextKey<Settled>(() => {});

/** A gate that says so, and that knows of what has been found out before. */
export const settling =
  (gate: (context: HandlerContext) => void | Promise<void>) =>
  async (context: HandlerContext): Promise<void> => {
    const settled = context.values.get(settledKey);
    if (settled.refusal !== undefined) context.values.set(refusalKey, settled.refusal);
    try {
      await gate(context);
    } finally {
      settled();
    }
  };
