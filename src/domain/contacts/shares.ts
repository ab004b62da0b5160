/** Who takes part: how much more it can have at most, how much it has already, and its weight, more than 0. */
export type Taker = { readonly most: number; readonly has: number; readonly weight: number };

/**
 * Shares `wanted` things among takers: each goes to one of those that have least for their weights, so that in the end
 * all have as much as their weights say, as far as each can have it. Of several that have as little it is the first
 * one; but with different weights one of a lesser weight is passed over now and then, so that things that nobody has
 * for long go round by the weights too. Answers one share for each.
 */
export function shareOut(
  wanted: number,
  takers: readonly Taker[],
  random: () => number = Math.random,
): number[] {
  const most = takers.map((taker) => Math.max(0, taker.most));
  if (most.reduce((sum, one) => sum + one, 0) <= wanted) return most;
  const heaviest = Math.max(...takers.map(({ weight }) => weight));
  const shares = takers.map(() => 0);
  for (let left = wanted; left > 0; left -= 1) {
    let least = Infinity;
    let first = -1;
    let chosen = -1;
    for (const [i, { has, weight }] of takers.entries()) {
      const share = shares[i] ?? 0;
      if (share >= (most[i] ?? 0)) continue;
      const own = (has + share) / weight;
      if (own > least) continue;
      if (own < least) [least, first, chosen] = [own, i, -1];
      if (chosen === -1 && (weight === heaviest || random() * heaviest < weight)) chosen = i;
    }
    const place = chosen === -1 ? first : chosen;
    if (place === -1) break;
    shares[place] = (shares[place] ?? 0) + 1;
  }
  return shares;
}
