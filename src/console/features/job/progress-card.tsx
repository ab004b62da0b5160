import { useEffect, useMemo, useState } from "preact/hooks";
import type { BatchJob } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { awaySince } from "../../data/connection.ts";
import { count, counted } from "../../ui/format/numbers.ts";
import { clockTime, dateOf, viewerZone } from "../../ui/format/times.ts";
import { final, endings } from "../../ui/format/words.ts";
import { later } from "../../ui/later.tsx";
import type { Line } from "./chart.tsx";
import { type Point, historyOf } from "./history.ts";

const Chart = later(() => import("./chart.tsx").then((module) => module.Chart));

const tickMs = 2_000;

/** How the job has gone on since the page was opened: finished contacts by outcome, and calls in progress. */
export function ProgressCard({ job }: { job: BatchJob }) {
  // Of a service that is not heard nobody knows how it goes on: the chart ends when it was heard last.
  const isHeard = awaySince.value === undefined;
  const nowMs = useTick(isHeard && job.startedAt !== undefined && job.finishedAt === undefined);
  const points = [...historyOf(job.batchJobId)];
  const last = points.at(-1);
  // Nothing has changed since the last point, so that it also tells how things are now.
  if (last !== undefined && nowMs > last.atMs) points.push({ ...last, atMs: nowMs });
  return (
    <section class="card" aria-labelledby="progress-title">
      <h2 id="progress-title">Progress</h2>
      {points.length > 1 && job.startedAt !== undefined ? (
        <Charts job={job} points={points} key={job.batchJobId} />
      ) : (
        <p class="quiet">{whyNoChart(job)}</p>
      )}
    </section>
  );
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

function whyNoChart(job: BatchJob): string {
  if (job.startedAt === undefined) return "The chart begins when the job does.";
  if (job.finishedAt === undefined) return "The chart begins with the next change.";
  return "The chart shows what this page has seen, and it was opened after the job had ended.";
}

function Charts({ job, points }: { job: BatchJob; points: readonly Point[] }) {
  const times = useMemo(() => points.map(({ atMs }) => atMs / 1000), [points.length, points.at(-1)?.atMs]);
  const ended: readonly Line[] = endings
    .filter(({ key }) => points.some((point) => point.ended[key] > 0))
    .map(({ key, word }) => ({
      label: word,
      color: `--end-${key}`,
      values: points.map((point) => point.ended[key]),
    }));
  const calls: readonly Line[] = [
    { label: "Calls in progress", color: "--active", values: points.map(({ dialing }) => dialing) },
    {
      label: "Limit",
      color: "--bad",
      isDashed: true,
      values: points.map(() => job.concurrentCallLimit),
    },
  ];
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

function whatIsShown(job: BatchJob, sinceMs: number): string {
  const seen = `What this page has seen since ${clockTime(new Date(sinceMs), viewerZone)}, your time.`;
  const startedAt = dateOf(job.startedAt);
  const isLate = startedAt !== undefined && startedAt.getTime() < sinceMs - 2_000;
  return isLate ? `${seen} The job started before that.` : seen;
}
