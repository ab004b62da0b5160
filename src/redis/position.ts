import { randomBytes } from "node:crypto";

/**
 * How far a job's fan-out is: the numbers up to `last` have been dealt with under `epoch`. An epoch is the job's
 * revision at its making and a random part, so that a newer one is known as such and none occurs twice.
 */
export type Position = { readonly epoch: string; readonly last: number };

export const writePosition = ({ epoch, last }: Position): string => `${epoch}:${last}`;

export function readPosition(reply: unknown): Position | undefined {
  const [, epoch, last] = (typeof reply === "string" ? /^(\d+\.\w+):(\d+)$/.exec(reply) : null) ?? [];
  return epoch === undefined ? undefined : { epoch, last: Number(last) };
}

/** Marks epochs of first runs; the random part is hexadecimal. */
const firstMark = "n";

/** Whether a job runs for the first time, or again after a pause or a loss. */
export type Run = "first" | "again";

/** A random part is six bytes in hexadecimal. */
export const randomParts = (count: number): string[] =>
  randomBytes(6 * count)
    .toString("hex")
    .match(/.{12}/g) ?? [];

/** Where a fan-out begins. */
export const atStart = (revision: number, run: Run, [random = ""] = randomParts(1)): Position => ({
  epoch: `${revision}.${run === "first" ? firstMark : ""}${random}`,
  last: 0,
});

/**
 * True for a position under which its job has run from the first time on: nothing above it has been on a list, and
 * every contact there is pending. Should Redis have lost a part of what it had, that may be wrong for some, which a
 * lease finds.
 */
export const isFirstRun = ({ epoch }: Position): boolean => epoch.includes(`.${firstMark}`);

/** The job's revision at the making of the position. */
export const revisionOf = ({ epoch }: Position): number => Number.parseInt(epoch, 10);

/**
 * True for a position that knows of more than its job, as Postgres has it later: Redis is written after each commit,
 * so that a commit has been lost.
 */
export const isAhead = (position: Position, job: { revision: number; totalContacts: number }): boolean =>
  revisionOf(position) > job.revision || position.last > job.totalContacts;
