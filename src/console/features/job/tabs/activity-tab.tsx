import { useState } from "preact/hooks";
import type { BatchJob } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import type { Event } from "../../../../gen/callsheet/v1/event_pb.ts";
import { EventService } from "../../../../gen/callsheet/v1/event_service_pb.ts";
import { clientOf } from "../../../data/service/client.ts";
import { useLoad } from "../../../data/load/use-load.ts";
import { dateOf, exactTime, viewerZone } from "../../../ui/format/times.ts";
import { Empty, Loading, Notice } from "../../../ui/page/notice.tsx";
import { actorWords, eventWords } from "./event-words.ts";
import css from "../contacts/timeline.module.css";

const log = clientOf(EventService);

/** What is told of a job itself; the attempts at its contacts are with them. */
const types = [
  "batch_job.created",
  "batch_job.updated",
  "batch_job.contacts_added",
  "batch_job.scheduled",
  "batch_job.started",
  "batch_job.paused",
  "batch_job.resumed",
  "batch_job.completed",
  "batch_job.failed",
  "batch_job.cancelled",
];

const pageSize = 1_000;
/** A long log is looked through in so many calls at most before it is asked whether to go on. */
const callsAtOnce = 20;

type Found = { readonly events: readonly Event[]; readonly lastSequence: bigint; readonly isWhole: boolean };

async function read(batchJobId: string, rounds: number, signal: AbortSignal): Promise<Found> {
  let found: Found = { events: [], lastSequence: 0n, isWhole: false };
  for (let calls = 0; calls < rounds * callsAtOnce && !found.isWhole; calls++) {
    const afterSequence = found.lastSequence;
    const request = { afterSequence, types, batchJobIds: [batchJobId], pageSize };
    const { events, lastSequence, headSequence } = await log.listEvents(request, { signal });
    found = {
      events: [...found.events, ...events],
      lastSequence,
      isWhole: lastSequence >= headSequence,
    };
  }
  return found;
}

/** Who did what with the job, the latest first. */
export function ActivityTab({ job }: { job: BatchJob }) {
  const [rounds, setRounds] = useState(1);
  const { batchJobId, revision } = job;
  const { data, refusal } = useLoad(["activity", batchJobId, String(revision), rounds], (signal) =>
    read(batchJobId, rounds, signal),
  );
  return (
    <section class="card" aria-labelledby="activity-title">
      <h2 id="activity-title">Who did what</h2>
      {refusal && <Notice tone="bad">{refusal.message}</Notice>}
      {data === undefined && refusal === undefined && <Loading what="the log" />}
      {data?.events.length === 0 && data.isWhole && (
        <Empty title="The log has nothing of this job any more." />
      )}
      {data !== undefined && data.events.length > 0 && (
        <ol class={css.timeline} aria-label="What was done">
          {data.events.toReversed().map((event) => (
            <Happened key={String(event.sequence)} event={event} />
          ))}
        </ol>
      )}
      {data?.isWhole === false && (
        <div class="actions">
          <button type="button" onClick={() => setRounds((before) => before + 1)}>
            Look further
          </button>
          <p class="hint">The log is long; it was not looked through to its end.</p>
        </div>
      )}
    </section>
  );
}

function Happened({ event }: { event: Event }) {
  const at = dateOf(event.occurredAt);
  return (
    <li>
      <span class={css.mark} style={{ background: "var(--accent)" }} aria-hidden="true" />
      <div>
        {eventWords(event).map((sentence, i) => (
          <p key={i}>{i === 0 ? <strong>{sentence}</strong> : sentence}</p>
        ))}
        <p class="quiet">
          {at && <time dateTime={at.toISOString()}>{exactTime(at, viewerZone)}</time>}
          {", "}
          <bdi>{actorWords(event.actor)}</bdi>
        </p>
      </div>
    </li>
  );
}
