type Waiting = { readonly organizationId: number; readonly begin: () => void };

/** So many may be held at once, and fewer of one organization. */
type Slots = { readonly atOnce: number; readonly perOrganization: number };

/**
 * Slots to take and to give back. An organization gets its second one only while another stays free: so that others
 * find one. Those who wait get their turn in the order in which they came, but nobody waits for one who waits for its
 * own organization's.
 */
export function createSlotTaking({ atOnce, perOrganization }: Slots) {
  const held = new Map<number, number>();
  let waiting: readonly Waiting[] = [];
  let active = 0;

  function mayBegin(organizationId: number): boolean {
    const own = held.get(organizationId) ?? 0;
    return active + (own === 0 ? 0 : 1) < atOnce && own < perOrganization;
  }

  function hold(organizationId: number): void {
    active += 1;
    held.set(organizationId, (held.get(organizationId) ?? 0) + 1);
  }

  function release(organizationId: number): void {
    active -= 1;
    const left = (held.get(organizationId) ?? 0) - 1;
    if (left > 0) held.set(organizationId, left);
    else held.delete(organizationId);
    beginOthers();
  }

  function beginOthers(): void {
    for (;;) {
      const next = waiting.find((each) => mayBegin(each.organizationId));
      if (next === undefined) return;
      waiting = waiting.filter((each) => each !== next);
      hold(next.organizationId);
      next.begin();
    }
  }

  /** Resolves with what gives the slot back; one who gives up leaves the line, and rejects with the signal's reason. */
  return async function take(organizationId: number, givenUp?: AbortSignal): Promise<() => void> {
    givenUp?.throwIfAborted();
    if (mayBegin(organizationId)) hold(organizationId);
    else {
      const { promise: turn, resolve: begin, reject } = Promise.withResolvers<void>();
      const self = { organizationId, begin };
      const leave = () => {
        waiting = waiting.filter((each) => each !== self);
        reject(givenUp?.reason);
      };
      waiting = [...waiting, self];
      givenUp?.addEventListener("abort", leave);
      try {
        await turn;
      } finally {
        givenUp?.removeEventListener("abort", leave);
      }
    }
    return () => release(organizationId);
  };
}

/** Does the work, which takes a file of the organization, in its turn. */
export type InTurn = <T>(organizationId: number, work: () => Promise<T>) => Promise<T>;

/** Lets so many files be taken at once. */
export function createSlots(slots: Slots): InTurn {
  const take = createSlotTaking(slots);
  return async function inTurn<T>(organizationId: number, work: () => Promise<T>): Promise<T> {
    const leave = await take(organizationId);
    try {
      return await work();
    } finally {
      leave();
    }
  };
}
