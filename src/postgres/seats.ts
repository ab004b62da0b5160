import { serviceBusy } from "../domain/batch-job-error.ts";
import { afterPatience } from "../timing/patience.ts";

/** Waits for a seat; resolves with what gives it back. */
export type TakeSeat = () => Promise<() => void>;

/** So many may hold something at once; the others wait in the order in which they came. */
export type Seats = {
  /** Resolves with what gives the seat back; refuses as busy those who wait for longer. */
  take(patienceMs: number): Promise<() => void>;
  readonly taken: number;
  readonly waiting: number;
};

/** Takes a seat of each kind, one after the other; if one is refused, those before it are given back. */
export function takeEach(takes: readonly TakeSeat[]): TakeSeat {
  return async () => {
    const taken: (() => void)[] = [];
    const giveBack = () => {
      for (const leave of taken) leave();
    };
    try {
      for (const take of takes) taken.push(await take());
    } catch (error) {
      giveBack();
      throw error;
    }
    return giveBack;
  };
}

/** Waits in the line until somebody calls `sitDown`, or patience is over. */
function waitInLine<W extends { sitDown: () => void }>(
  line: Set<W>,
  toWaiting: (sitDown: () => void) => W,
  patienceMs: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = () => {
      line.delete(waiting);
      callOff();
    };
    const waiting = toWaiting(() => {
      leave();
      resolve();
    });
    const giveUp = () => {
      leave();
      reject(serviceBusy());
    };
    const callOff = patienceMs === Infinity ? () => {} : afterPatience(patienceMs, giveUp);
    line.add(waiting);
  });
}

export function createSeats(most: number): Seats {
  const line = new Set<{ sitDown: () => void }>();
  let taken = 0;

  function giveBack(): void {
    const [next] = line;
    if (next === undefined) taken -= 1;
    else next.sitDown();
  }

  return {
    async take(patienceMs) {
      if (taken < most) taken += 1;
      else await waitInLine(line, (sitDown) => ({ sitDown }), patienceMs);
      return giveBack;
    },
    get taken() {
      return taken;
    },
    get waiting() {
      return line.size;
    },
  };
}

/**
 * Seats for holders of which each has one, and more as long as there are some: no holder has more than `mostOfOne`, and
 * beyond a first one each they all have no more than `beyondFirst`. Holders are kept in mind only while they sit or
 * wait.
 */
export function createSharedSeats({ mostOfOne, beyondFirst }: { mostOfOne: number; beyondFirst: number }) {
  const line = new Set<{ holder: number; sitDown: () => void }>();
  const takenBy = new Map<number, number>();
  let beyond = 0;

  function maySit(holder: number): boolean {
    const own = takenBy.get(holder) ?? 0;
    return own === 0 || (own < mostOfOne && beyond < beyondFirst);
  }

  function sit(holder: number): void {
    const own = takenBy.get(holder) ?? 0;
    takenBy.set(holder, own + 1);
    if (own > 0) beyond += 1;
  }

  function giveBack(holder: number): void {
    const left = (takenBy.get(holder) ?? 0) - 1;
    if (left > 0) beyond -= 1;
    if (left > 0) takenBy.set(holder, left);
    else takenBy.delete(holder);
    for (const waiting of line) if (maySit(waiting.holder)) waiting.sitDown();
  }

  return async function take(holder: number, patienceMs: number): Promise<() => void> {
    if (maySit(holder)) sit(holder);
    else {
      const toWaiting = (leaveLine: () => void) => ({
        holder,
        sitDown() {
          sit(holder);
          leaveLine();
        },
      });
      await waitInLine(line, toWaiting, patienceMs);
    }
    return () => giveBack(holder);
  };
}
