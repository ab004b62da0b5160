import type { Caller } from "../domain/caller.ts";
import type { Demand, Lease } from "./lease-round.ts";

/** A call that may have leases, under its ticket. */
export type Ask = Demand & {
  readonly caller: Caller;
  readonly waitMs: number;
  /** Only contacts of these jobs; none means all. */
  readonly jobIds: readonly string[];
  readonly signal: AbortSignal;
};

/** A call at a desk, until it is over. */
export type Waiter = {
  readonly ask: Ask;
  /** The same for those who want contacts of the same jobs. */
  readonly kind: string;
  /** Its own reports end in the turn that it has; it waits for no other. */
  readonly isWithReports: boolean;
  readonly deadlineMs: number;
  isOver: boolean;
  /** So many turns in a row gave it nothing, though there may have been something. */
  dryTurns: number;
  /** Ends the call; leases for a caller that has gone are released. */
  readonly settle: (leases: readonly Lease[]) => void;
  /** Ends the call with nothing; what is leased for it later is released. */
  readonly leave: () => void;
  readonly fail: (error: unknown) => void;
};

/** The waiter of a call, and what its call answers: undefined if its caller has gone, or it has left. */
export function createWaiter(
  ask: Ask,
  options: {
    readonly isWithReports: boolean;
    /** Releases what was leased for a caller that has gone. */
    readonly takeBack: (leases: readonly Lease[]) => void;
    readonly onEnd: (waiter: Waiter) => void;
  },
): { waiter: Waiter; answer: Promise<readonly Lease[] | undefined> } {
  const { isWithReports, takeBack, onEnd } = options;
  const { promise: answer, resolve, reject } = Promise.withResolvers<readonly Lease[] | undefined>();
  const end = (): void => {
    waiter.isOver = true;
    onEnd(waiter);
    ask.signal.removeEventListener("abort", waiter.leave);
  };
  const waiter: Waiter = {
    ask,
    kind: ask.jobIds.toSorted().join(),
    isWithReports,
    deadlineMs: performance.now() + ask.waitMs,
    isOver: false,
    dryTurns: 0,
    settle(leases) {
      const isGone = ask.signal.aborted || waiter.isOver;
      end();
      if (isGone) takeBack(leases);
      resolve(isGone ? undefined : leases);
    },
    leave() {
      end();
      resolve(undefined);
    },
    fail(error) {
      end();
      reject(error);
    },
  };
  ask.signal.addEventListener("abort", waiter.leave);
  return { waiter, answer };
}
