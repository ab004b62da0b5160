import { useMemo } from "preact/hooks";
import type { BatchJob, ContactCounts, HistoryPoint } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { service } from "../../../data/service/client.ts";
import { hasEnded } from "../../../data/load/use-job.ts";
import { useLoad } from "../../../data/load/use-load.ts";
import { dateOf } from "../../../ui/format/times.ts";
import { type Ending, endings } from "../../../ui/format/words.ts";

/** How many contacts were final, by status, how many were being called, and how many calls had ended, at one moment. */
export type Point = {
  readonly atMs: number;
  readonly ended: Readonly<Record<Ending["key"], number>>;
  readonly dialing: number;
  readonly calls: number;
};

const pointOf = (counts: ContactCounts, calls: number, atMs: number): Point => ({
  atMs,
  calls,
  ended: Object.fromEntries(endings.map(({ key }) => [key, counts[key]])) as Point["ended"],
  dialing: counts.dialing,
});

/** More points than a chart has pixels are of no use. */
const mostSeen = 2_000;

/** What the stream has told since this page was loaded, by job, at times of this computer's clock. */
const seen = new Map<string, Point[]>();

export function record({ batchJobId, counts, endedAttempts }: BatchJob, atMs: number): void {
  if (counts === undefined) return;
  const points = seen.get(batchJobId) ?? [];
  points.push(pointOf(counts, endedAttempts, atMs));
  seen.set(batchJobId, points.length > mostSeen ? thinned(points) : points);
}

/** Every second point, and always the last. */
const thinned = (points: Point[]): Point[] => points.filter((_, i) => i % 2 === 0 || i === points.length - 1);

/** What the service has kept of the job, and when this computer's clock read it. */
type Kept = { readonly points: readonly Point[]; readonly readAtMs: number };

/** What the stream tells goes on from what is kept, which is asked for again from time to time, for what it missed. */
const refreshMs = 60_000;

async function load(batchJobId: string, signal: AbortSignal): Promise<Kept> {
  const { batchJob } = await service.getBatchJob({ batchJobId, includeHistory: true }, { signal });
  const points = (batchJob?.history ?? []).flatMap(({ at, counts, endedAttempts }: HistoryPoint) => {
    const date = dateOf(at);
    return date === undefined || counts === undefined ? [] : [pointOf(counts, endedAttempts, date.getTime())];
  });
  return { points, readAtMs: Date.now() };
}

export type History = {
  readonly points: readonly Point[];
  /** How far the service's clock, which the points are by, is before this computer's. */
  readonly aheadMs: number;
};

/** How the job has gone on from its start to now, whatever of that this page has seen. */
export function useHistory(job: BatchJob): History {
  const { batchJobId } = job;
  const isOver = hasEnded(job);
  const { data } = useLoad(
    ["history", batchJobId, isOver],
    (signal) => load(batchJobId, signal),
    () => (isOver ? undefined : refreshMs),
  );
  const since = seen.get(batchJobId) ?? [];
  return useMemo(() => wholeOf(data, since, isOver), [data, since.length, since.at(-1), isOver]);
}

function wholeOf(kept: Kept | undefined, since: readonly Point[], isOver: boolean): History {
  const last = kept?.points.at(-1);
  if (kept === undefined || last === undefined) return { points: since, aheadMs: 0 };
  // The last point of a job that goes on was now when it was read.
  const aheadMs = isOver ? 0 : last.atMs - kept.readAtMs;
  const later = since
    .filter(({ atMs }) => atMs > kept.readAtMs)
    .map((point) => ({ ...point, atMs: point.atMs + aheadMs }));
  return { points: isOver ? kept.points : [...kept.points, ...later], aheadMs };
}

const rateMs = 60_000;
const leastMs = 10_000;

/** How many calls ended a minute, over the last minute that is known; undefined while that is too little. */
export function callsPerMinute({ points, aheadMs }: History): number | undefined {
  const nowMs = Date.now() + aheadMs;
  const last = points.at(-1);
  const first = points.findLast(({ atMs }) => atMs <= nowMs - rateMs) ?? points[0];
  if (first === undefined || last === undefined || nowMs - first.atMs < leastMs) return undefined;
  return ((last.calls - first.calls) * 60_000) / (nowMs - first.atMs);
}
