import { afterPatience } from "./patience.ts";

/** How many seats are taken: by one holder, by all, and by all beyond a first one each. */
export type Taken = { readonly own: number; readonly all: number; readonly beyondFirst: number };

/** Is told how to leave the line, with the reason; answers what calls that off. */
export type GiveUp = (leave: (reason: unknown) => void) => () => void;

export type Seats<Holder> = {
  /** Resolves with what gives the seat back; rejects with the reason of one who gives up while it waits. */
  take(holder: Holder, giveUp?: GiveUp): Promise<() => void>;
  readonly taken: number;
  readonly waiting: number;
};

/**
 * Seats, of which a holder may take one more if `maySit` says so of those that are taken; whoever has fewer may rather.
 * The others wait in the order in which they came, but nobody behind one who must wait for longer. Holders are kept in
 * mind only while they sit or wait.
 */
export function createSeats<Holder>(maySit: (taken: Taken) => boolean): Seats<Holder> {
  const takenBy = new Map<Holder, number>();
  const line = new Set<{ readonly holder: Holder; readonly sitDown: () => void }>();
  let taken = 0;

  const mayTake = (holder: Holder): boolean =>
    maySit({ own: takenBy.get(holder) ?? 0, all: taken, beyondFirst: taken - takenBy.size });

  function sit(holder: Holder): void {
    taken += 1;
    takenBy.set(holder, (takenBy.get(holder) ?? 0) + 1);
  }

  function giveBack(holder: Holder): void {
    taken -= 1;
    const left = (takenBy.get(holder) ?? 0) - 1;
    if (left > 0) takenBy.set(holder, left);
    else takenBy.delete(holder);
    for (const waiting of line) {
      if (mayTake(waiting.holder)) waiting.sitDown();
      // If one without a seat may not, nobody may.
      else if (!takenBy.has(waiting.holder)) return;
    }
  }

  const waitInLine = (holder: Holder, giveUp?: GiveUp): Promise<void> =>
    new Promise((resolve, reject) => {
      let callOff: (() => void) | undefined;
      const leave = () => {
        line.delete(waiting);
        callOff?.();
      };
      const waiting = {
        holder,
        sitDown() {
          sit(holder);
          leave();
          resolve();
        },
      };
      line.add(waiting);
      callOff = giveUp?.((reason) => {
        leave();
        reject(reason);
      });
    });

  return {
    async take(holder, giveUp) {
      if (mayTake(holder)) sit(holder);
      else await waitInLine(holder, giveUp);
      return () => giveBack(holder);
    },
    get taken() {
      return taken;
    },
    get waiting() {
      return line.size;
    },
  };
}

/** Does the work in a seat, and gives it back whatever becomes of the work. */
export async function inSeat<T>(seat: Promise<() => void>, work: () => Promise<T>): Promise<T> {
  const leave = await seat;
  try {
    return await work();
  } finally {
    leave();
  }
}

/** Gives up after a time that this process has lived through. */
export const afterWaiting =
  (patienceMs: number, toError: () => Error): GiveUp =>
  (leave) =>
    patienceMs === Infinity ? () => {} : afterPatience(patienceMs, () => leave(toError()));

/** Gives up once the signal, which has not been aborted yet, is. */
export const onceAborted =
  (signal: AbortSignal): GiveUp =>
  (leave) => {
    const giveUp = () => leave(signal.reason);
    signal.addEventListener("abort", giveUp);
    return () => signal.removeEventListener("abort", giveUp);
  };

/** Gives up as soon as one of these does. */
export const whichever =
  (...giveUps: readonly GiveUp[]): GiveUp =>
  (leave) => {
    const callOffs = giveUps.map((giveUp) => giveUp(leave));
    return () => {
      for (const callOff of callOffs) callOff();
    };
  };
