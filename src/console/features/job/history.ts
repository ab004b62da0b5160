import type { BatchJob } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { type Ending, endings } from "../../ui/format/words.ts";

/** How many contacts were final, by status, and how many were being called, at one moment. */
export type Point = {
  readonly atMs: number;
  readonly ended: Readonly<Record<Ending["key"], number>>;
  readonly dialing: number;
};

/** More points than a chart has pixels are of no use. */
const mostPoints = 2_000;

/** The service keeps no history of counts: this is what the stream has told since this page was loaded, by job. */
const histories = new Map<string, Point[]>();

export function record({ batchJobId, counts }: BatchJob, atMs: number): void {
  if (counts === undefined) return;
  const ended = Object.fromEntries(endings.map(({ key }) => [key, counts[key]])) as Point["ended"];
  const points = histories.get(batchJobId) ?? [];
  points.push({ atMs, ended, dialing: counts.dialing });
  histories.set(batchJobId, points.length > mostPoints ? thinned(points) : points);
}

/** Every second point, and always the last. */
const thinned = (points: Point[]): Point[] => points.filter((_, i) => i % 2 === 0 || i === points.length - 1);

export const historyOf = (batchJobId: string): readonly Point[] => histories.get(batchJobId) ?? [];

const rateMs = 60_000;
const leastMs = 10_000;

/** These are no calls: the end of their job cut them off. */
const cutOff: ReadonlySet<Ending["key"]> = new Set(["cancelled", "expired"]);

/** How many contacts had come to their own end. */
const endedIn = ({ ended }: Point): number =>
  endings.reduce((sum, { key }) => sum + (cutOff.has(key) ? 0 : ended[key]), 0);

/** How many calls ended a minute, over the last minute that was seen; undefined while that is too little. */
export function callsPerMinute(batchJobId: string, nowMs: number): number | undefined {
  const points = historyOf(batchJobId);
  const last = points.at(-1);
  const first = points.find(({ atMs }) => atMs >= nowMs - rateMs);
  if (first === undefined || last === undefined || nowMs - first.atMs < leastMs) return undefined;
  return ((endedIn(last) - endedIn(first)) * 60_000) / (nowMs - first.atMs);
}
