import type { DescMethod } from "@bufbuild/protobuf";
import {
  Code,
  type ConnectError,
  type ContextValues,
  createContextKey,
  type HandlerContext,
} from "@connectrpc/connect";
import type { ApiKeys } from "../../access/api-keys.ts";
import { type WrongKeys, createWrongKeys } from "../../access/wrong-keys.ts";
import { isApiKey, keyIn } from "../../domain/api-key.ts";
import { neighboursOf } from "../../domain/networks.ts";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { createLine, type Line } from "../../timing/line.ts";
import { createRecent } from "../../timing/recent.ts";
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
  /** The call is over; it is in vain if it was refused for what it asks, or since its caller has had enough. */
  readonly ended?: (isInVain: boolean) => void;
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
export type Strangers = {
  admit(arrival: Arrival): void;
  /** Whether somebody calls on the connection who has a key, or may have. */
  isInUse(this: void, connection: object): boolean;
};

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

/** Whose calls are in vain so often in a second, and most of them, has turns like a stranger for the next ones. */
const mostInVain = 50;
const inVainWindowMs = 1_000;
const slowForMs = 2_000;
/** Of keys those whose calls were in vain last. */
const mostKnown = 10_000;

/** To say whether a replica is well costs next to nothing. */
const mostHealthInTurn = 32;

/**
 * Calls under keys that were valid a short while ago begin in each turn of the event loop, those of each key in their
 * turn; under one whose calls are refused again and again, and few others, they take turns in what is left. A key that
 * is not known yet is looked up at once, with all others that come meanwhile, which costs little: one
 * that is valid waits for no wrong one. All else takes turns by address and by connection, in what is left: whatever
 * floods of it there are, those who work here do not notice. Nobody who has a key is refused for what others at the
 * same address do, many of whom a proxy or NAT may hide; a flood waits for itself. What watches over a replica waits
 * for nothing but its like, for it may end a replica whose answer is late.
 */
export function createStrangers(keys: Keys = unasked, wrongKeys: WrongKeys = createWrongKeys()): Strangers {
  const familiar = createLine({ inTurn: 32, pauseMs: 0 });
  const slow = createLine({ inTurn: 16, pauseMs: 100, rests: 3 });
  const eager = createEager();
  const refused = createLine({ inTurn: 2, pauseMs: 100, rests: 3 });
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
    const ended = (isInVain: boolean) => eager.note(authorization, isInVain);
    const beginIt = (settled: () => void) => begin(Object.assign(settled, { ended }));
    const enter = (): void => {
      const isEager = eager.has(authorization);
      const enters = (isEager ? slow : familiar).enter(member, (settled) => {
        if (isEager || !eager.has(authorization)) return beginIt(settled);
        // Those before it were in vain.
        settled();
        enter();
      });
      if (enters) return;
      if (isEager) turnAwayLate(turnAway);
      else turnAway("call");
    };
    enter();
  }

  const isInUse = (connection: object): boolean => inUse.has(connection) || lookingUp.has(connection);

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
    if (!refused.enter(member, refuse)) turnAwayLate(turnAway);
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
        turnAway(isProxied || isInUse(connection) ? "call" : "connection");
    },
    isInUse,
  };
}

const turnAwayLate = (turnAway: Arrival["turnAway"]): void =>
  void setTimeout(() => turnAway("call"), turnedAwayAfterMs).unref();

/** The keys under which little but calls in vain is made. */
function createEager() {
  type Noted = { inVain: number; others: number; readonly endsMs: number; slowUntilMs: number };
  const noted = createRecent<string, Noted>(mostKnown);
  return {
    has: (key: string): boolean => (noted.get(key)?.slowUntilMs ?? 0) > performance.now(),
    note(key: string, isInVain: boolean): void {
      let here = noted.get(key);
      if (here === undefined && !isInVain) return;
      const nowMs = performance.now();
      if (here === undefined || here.endsMs <= nowMs) {
        const { slowUntilMs = 0 } = here ?? {};
        here = { inVain: 0, others: 0, endsMs: nowMs + inVainWindowMs, slowUntilMs };
        noted.set(key, here);
      }
      if (!isInVain) here.others += 1;
      else if ((here.inVain += 1) >= mostInVain && here.inVain > here.others)
        here.slowUntilMs = nowMs + slowForMs;
    },
  };
}

/** What its caller can tell before: that a request is wrong, or too much. */
const foreseeable: ReadonlySet<Code> = new Set([
  Code.ResourceExhausted,
  Code.InvalidArgument,
  Code.PermissionDenied,
]);

/** Says of a call that it is over, to who let it in. */
export const tellEnd = (values: ContextValues, error: ConnectError | undefined): void =>
  values.get(settledKey).ended?.(error !== undefined && foreseeable.has(error.code));

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
