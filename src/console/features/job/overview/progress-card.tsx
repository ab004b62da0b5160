import { useEffect, useMemo, useState } from "preact/hooks";
import type { BatchJob } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { awaySince } from "../../../data/service/connection.ts";
import { count, counted } from "../../../ui/format/numbers.ts";
import { dateOf, exactTime, viewerZone } from "../../../ui/format/times.ts";
import { final, endings } from "../../../ui/format/words.ts";
import { later } from "../../../ui/page/later.tsx";
import type { Line } from "./chart.tsx";
import type { History, Point } from "./history.ts";

const Chart = later(() => import("./chart.tsx").then((module) => module.Chart));

const tickMs = 2_000;

/** How the job has gone on from its start: finished contacts by outcome, and calls in progress. */
export function ProgressCard({ job, history }: { job: BatchJob; history: History }) {
  // Of a service that is not heard nobody knows how it goes on: the chart ends when it was heard last.
  const isHeard = awaySince.value === undefined;
  const isTicking = isHeard && job.startedAt !== undefined && job.finishedAt === undefined;
  const nowMs = useTick(isTicking);
  const { points, aheadMs } = history;
  // Drawn at its own pace, for a picture takes more of a machine than figures do; what is kept of the past, at once.
  const pace = isTicking ? nowMs : points;
  const drawn = useMemo(() => upTo(nowMs + aheadMs, points), [pace, points.length > 1, points[0]?.atMs]);
  return (
    <section class="card" aria-labelledby="progress-title">
      <h2 id="progress-title">Progress</h2>
      {drawn.length > 1 && job.startedAt !== undefined ? (
        <Charts job={job} points={drawn} key={job.batchJobId} />
      ) : (
        <p class="quiet">{whyNoChart(job)}</p>
      )}
    </section>
  );
}

/** Nothing has changed since the last point, so that it also tells how things are at this time. */
function upTo(atMs: number, points: readonly Point[]): readonly Point[] {
  const last = points.at(-1);
  return last !== undefined && atMs > last.atMs ? [...points, { ...last, atMs }] : points;
}

function useTick(isTicking: boolean): number {
  const [nowMs, setNowMs] = useState(0);
  useEffect(() => {
    if (!isTicking) return;
    const timer = setInterval(() => setNowMs(Date.now()), tickMs);
    return () => clearInterval(timer);
  }, [isTicking]);
  return nowMs;
}

const whyNoChart = (job: BatchJob): string =>
  job.startedAt === undefined ? "The chart begins when the job does." : "There is nothing to show yet.";

function Charts({ job, points }: { job: BatchJob; points: readonly Point[] }) {
  const { concurrentCallLimit } = job;
  const times = useMemo(() => points.map(({ atMs }) => atMs / 1000), [points]);
  const ended: readonly Line[] = useMemo(
    () =>
      endings
        .filter(({ key }) => points.some((point) => point.ended[key] > 0))
        .map(({ key, word }) => ({
          label: word,
          color: `--end-${key}`,
          values: points.map((point) => point.ended[key]),
        })),
    [points],
  );
  const calls: readonly Line[] = useMemo(
    () => [
      { label: "Calls in progress", color: "--active", values: points.map(({ dialing }) => dialing) },
      { label: "Limit", color: "--bad", isDashed: true, values: points.map(() => concurrentCallLimit) },
    ],
    [points, concurrentCallLimit],
  );
  const done = job.counts ? final(job.counts) : 0;
  return (
    <>
      <h3>Contacts finished, by outcome</h3>
      {ended.length > 0 ? (
        <Chart
          label={`Contacts finished over time, by outcome: ${counted(done, "contact")} now. The same numbers are under Outcomes.`}
          times={times}
          lines={ended}
          isStacked
          height={210}
        />
      ) : (
        <p class="quiet">None yet.</p>
      )}
      <h3>Calls in progress</h3>
      <Chart
        label={`Calls in progress over time: ${count(job.counts?.dialing ?? 0)} now, of at most ${count(job.concurrentCallLimit)}.`}
        times={times}
        lines={calls}
        height={150}
      />
      <p class="hint">{whatIsShown(job, points[0]?.atMs ?? 0)}</p>
    </>
  );
}

/** A job that started before the service kept its counts is not shown from there on. */
const sinceStartMs = 10_000;

function whatIsShown(job: BatchJob, sinceMs: number): string {
  const since = exactTime(new Date(sinceMs), viewerZone);
  const startedAt = dateOf(job.startedAt);
  return startedAt !== undefined && startedAt.getTime() < sinceMs - sinceStartMs
    ? `From ${since}, your time. The job started before that.`
    : `From the start, ${since}, your time.`;
}
