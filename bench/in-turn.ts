// Two that do the same work in turns of a second or less, many times, so that what else the machine does strikes both
// alike: what a few per cent are is lost between runs of one that differ by a tenth.
import { type Sample, median } from "./workload.ts";

const pairs = 50;

export const pairsNote = `Both take ${pairs} turns, one after the other, in one run. The part of the other is the median of all pairs; in 19 of 20 cases it lies within the two figures after it.`;

/** How fast the first of each pair was, in parts of the second: the median, and where it lies in 19 of 20 cases. */
function ratioOf(own: readonly number[], others: readonly number[]) {
  const ratios = own.map((value, i) => (100 * value) / (others[i] ?? Number.NaN)).toSorted((a, b) => a - b);
  // So many of half of them are below it, or above it, as a coin shows one side.
  const below = Math.floor(ratios.length / 2 - 0.98 * Math.sqrt(ratios.length));
  return {
    "% of the other": median(ratios),
    "at least, %": ratios.at(below - 1) ?? Number.NaN,
    "at most, %": ratios.at(-below) ?? Number.NaN,
  };
}

/** A sample with what another one tells of the same turns, by what that is about. */
export const beside = ({ value, extra = {} }: Sample, other: Sample, about: string): Sample => ({
  value,
  extra: {
    ...extra,
    ...Object.fromEntries(
      Object.entries({ own: other.value, ...other.extra }).map(([name, each]) => [`${about}: ${name}`, each]),
    ),
  },
});

/** What is beside how many contacts are worked in a second. */
export const aboutProcessor = "contacts for a second of processors";

/** Answers the median of the first one's turns, and how it stands to the other; of each figure that a turn gives. */
export async function inTurn<T, Figure extends string>(
  own: T,
  other: T,
  take: (one: T) => Promise<Readonly<Record<Figure, number>>>,
): Promise<Readonly<Record<Figure, Sample>>> {
  await take(own);
  await take(other);
  const turns: (readonly [Record<Figure, number>, Record<Figure, number>])[] = [];
  for (let pair = 0; pair < pairs; pair += 1) {
    // Neither has the better place.
    if (pair % 2 === 0) turns.push([await take(own), await take(other)]);
    else {
      const second = await take(other);
      turns.push([await take(own), second]);
    }
  }
  const figures = Object.keys(turns[0]?.[0] ?? {}) as Figure[];
  const sampleOf = (figure: Figure): Sample => {
    const [owns, others] = [turns.map(([each]) => each[figure]), turns.map(([, each]) => each[figure])];
    return {
      value: median(owns),
      extra: { "the other, a second": median(others), ...ratioOf(owns, others) },
    };
  };
  return Object.fromEntries(figures.map((figure) => [figure, sampleOf(figure)])) as Record<Figure, Sample>;
}
