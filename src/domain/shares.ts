/**
 * Shares `wanted` things among takers of which each can have at most its `most`, as evenly as that allows; what cannot
 * be shared evenly goes to the first ones. Answers one share for each.
 */
export function shareOut(wanted: number, most: readonly number[]): number[] {
  const shares = most.map(() => 0);
  let left = wanted;
  for (;;) {
    const open = [...most.keys()].filter((i) => (shares[i] ?? 0) < (most[i] ?? 0));
    if (open.length === 0 || left <= 0) return shares;
    const each = Math.max(1, Math.floor(left / open.length));
    for (const i of open) {
      const share = Math.min(each, (most[i] ?? 0) - (shares[i] ?? 0), left);
      shares[i] = (shares[i] ?? 0) + share;
      left -= share;
    }
  }
}
