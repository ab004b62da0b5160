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

export function createSeats(most: number): Seats {
  const line = new Set<() => void>();
  let taken = 0;

  function giveBack(): void {
    const [next] = line;
    if (next === undefined) taken -= 1;
    else next();
  }

  /** Waits until somebody passes a seat on. */
  function waitInLine(patienceMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        line.delete(sitDown);
        callOff();
      };
      const sitDown = () => {
        leave();
        resolve();
      };
      const giveUp = () => {
        leave();
        reject(serviceBusy());
      };
      const callOff = patienceMs === Infinity ? () => {} : afterPatience(patienceMs, giveUp);
      line.add(sitDown);
    });
  }

  return {
    async take(patienceMs) {
      if (taken < most) taken += 1;
      else await waitInLine(patienceMs);
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
