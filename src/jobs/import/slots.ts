type Waiting = { readonly organizationId: number; readonly begin: () => void };

/**
 * Lets so many files be taken at once. Of one organization fewer, and its second one only while another slot stays free:
 * so that others find one. Those who wait get their turn in the order in which they came, but nobody waits for a file that
 * waits for its own organization's.
 */
export function createSlots({ atOnce, perOrganization }: { atOnce: number; perOrganization: number }) {
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

  return async function inTurn<T>(organizationId: number, work: () => Promise<T>): Promise<T> {
    if (mayBegin(organizationId)) hold(organizationId);
    else {
      const { promise: turn, resolve: begin } = Promise.withResolvers<void>();
      waiting = [...waiting, { organizationId, begin }];
      await turn;
    }
    try {
      return await work();
    } finally {
      release(organizationId);
    }
  };
}
