/** Who has work to be done: one of a group, and of how much of it may wait. */
export type Member = { readonly group: string; readonly key: object; readonly mostWaiting: number };

export type Line = {
  /** Does the work when it is its turn, at once if nobody waits. False if too much of this member waits already. */
  enter(member: Member, work: (settled: () => void) => void): boolean;
};

/** So much waits in all, shared out among those who have something waiting. */
const usualInAll = 4_096;

/** What one turn of the event loop gives to a line. */
const usualInTurn = 8;
const sliceMs = 2;

/**
 * The pause before the next turn while somebody waits: as long as the turn took, with what came of it, or `rests` times
 * as long, within these.
 */
const shortestPauseMs = 2;
const usualLongestPauseMs = 20;

/**
 * Does the work of many who may be up to no good beside work that matters: a slice of it in each turn of the event
 * loop, so that no burst stops what else there is. Groups take turns, and so do the members of a group, however much
 * each of them has waiting. Of what was begun no more than `atOnce` is unsettled.
 */
export function createLine(
  most: { atOnce?: number; inTurn?: number; pauseMs?: number; rests?: number; waiting?: number } = {},
): Line {
  const { atOnce = Infinity, inTurn: mostInTurn = usualInTurn, waiting: mostInAll = usualInAll } = most;
  const { pauseMs: longestPauseMs = usualLongestPauseMs, rests = 1 } = most;
  type Work = Parameters<Line["enter"]>[1];
  /** In the order of their turns. Whoever has nothing waiting is not here. */
  const groups = new Map<string, Map<object, Work[]>>();
  let memberCount = 0;
  let unsettled = 0;
  let begun = 0;
  let usedMs = 0;
  let isTurnComing = false;

  function begin(work: Work): void {
    const beganMs = performance.now();
    unsettled += 1;
    begun += 1;
    let isSettled = false;
    work(() => {
      if (isSettled) return;
      isSettled = true;
      unsettled -= 1;
      if (groups.size > 0) expectTurn();
    });
    usedMs += performance.now() - beganMs;
    // Whoever has left takes nobody's place.
    if (isSettled) begun -= 1;
  }

  /** The next one's work. It goes to the end, and its group too. */
  function take(): Work | undefined {
    for (const [group, members] of groups) {
      for (const [key, waiting] of members) {
        const work = waiting.shift();
        members.delete(key);
        if (waiting.length > 0) members.set(key, waiting);
        else memberCount -= 1;
        groups.delete(group);
        if (members.size > 0) groups.set(group, members);
        return work;
      }
    }
    return undefined;
  }

  const mayBegin = () => begun < mostInTurn && usedMs < sliceMs && unsettled < atOnce;

  function turn(): void {
    begun = 0;
    usedMs = 0;
    while (mayBegin()) {
      const work = take();
      if (work === undefined) break;
      begin(work);
    }
    isTurnComing = false;
    // Else whatever is settled brings the next one.
    if (begun > 0 || usedMs >= sliceMs) expectTurn();
  }

  function expectTurn(): void {
    if (isTurnComing) return;
    isTurnComing = true;
    const beganMs = performance.now();
    // What was begun has gone as far as it can by then.
    setImmediate(() => {
      if (groups.size === 0 || longestPauseMs === 0) turn();
      else {
        const tookMs = usedMs + performance.now() - beganMs;
        setTimeout(turn, Math.min(Math.max(shortestPauseMs, rests * tookMs), longestPauseMs));
      }
    });
  }

  return {
    enter({ group, key, mostWaiting }, work) {
      if (groups.size === 0 && mayBegin()) {
        begin(work);
        expectTurn();
        return true;
      }
      const members = groups.get(group) ?? new Map<object, Work[]>();
      const waiting = members.get(key) ?? [];
      const share = Math.max(1, Math.floor(mostInAll / memberCount));
      if (waiting.length >= Math.min(mostWaiting, share)) return false;
      if (waiting.length === 0) memberCount += 1;
      waiting.push(work);
      members.set(key, waiting);
      groups.set(group, members);
      expectTurn();
      return true;
    },
  };
}
