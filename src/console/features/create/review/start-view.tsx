import { useRef, useState } from "preact/hooks";
import { type BatchJob, BatchJobCommand, BatchJobStatus } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { service } from "../../../data/service/client.ts";
import { BatchJobService } from "../../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { flash, say } from "../../../data/page/flash.ts";
import { insist } from "../../../data/service/insist.ts";
import { newRequestId } from "../../../data/service/request-id.ts";
import { href, navigate } from "../../../data/page/route.ts";
import { useJob } from "../../../data/load/use-job.ts";
import { usePlan, usualCallSeconds } from "../../../data/load/use-plan.ts";
import { type Picked, asRequest, nothingPicked, useReading } from "../../../data/load/use-reading.ts";
import { callOf } from "../../../ui/form/as-curl.tsx";
import { Crumbs } from "../../../ui/page/crumbs.tsx";
import { Form } from "../../../ui/form/form.tsx";
import { counted } from "../../../ui/format/numbers.ts";
import { Heading } from "../../../ui/page/heading.tsx";
import { Empty, Loading, Notice } from "../../../ui/page/notice.tsx";
import { neverCalledIn, sentencesOf } from "../../../ui/format/plan-words.ts";
import { openIn } from "../../../ui/format/words.ts";
import { type Start, StartChoice } from "./start-choice.tsx";

/** The last step to a new job, once its contacts are in it: what the calls come to, and when they begin. */
export function StartView({ id }: { id: string }) {
  const { job, refusal } = useJob(id);
  return (
    <>
      <Crumbs here="Start">
        <a href={href(["jobs", id])}>{job ? <bdi>{job.name}</bdi> : "Job"}</a>
      </Crumbs>
      <Heading title="Start the calls" />
      {flash.value !== undefined && <Notice tone={flash.value.tone}>{flash.value.sentence}</Notice>}
      {refusal && <Empty title={refusal.message} />}
      {job === undefined && refusal === undefined && <Loading what="the job" />}
      {job !== undefined && <StartForm job={job} />}
    </>
  );
}

const submits: Readonly<Record<Start, string>> = {
  later: "Leave it waiting",
  now: "Start the calls",
  scheduled: "Schedule the start",
};

const tries = 4;

function StartForm({ job }: { job: BatchJob }) {
  const { batchJobId, revision } = job;
  const [start, setStart] = useState<Start>("later");
  const [picked, setPicked] = useState<Picked>(() => nothingPicked(job.timezone));
  const reading = useReading(picked);
  // The same for every try of the same: it is done once.
  const request = useRef({ words: "", requestId: "" });
  const from = start === "scheduled" && reading.kind === "read" ? reading.at : "now";
  const isAllowed =
    job.status === BatchJobStatus.PENDING && job.allowedCommands.includes(BatchJobCommand.START);

  async function submit(): Promise<string> {
    if (start === "later") {
      say("It waits to be started.");
      navigate(href(["jobs", batchJobId]));
      return "";
    }
    const words = JSON.stringify([start, picked, String(revision)]);
    if (request.current.words !== words) request.current = { words, requestId: newRequestId() };
    const { requestId } = request.current;
    const command = { batchJobId, requestId, expectedRevision: revision };
    const send = async (): Promise<string> => {
      if (start === "now") return (await service.startBatchJob(command)).message;
      return (await service.rescheduleBatchJob({ ...command, ...asRequest(picked) })).message;
    };
    const message = await insist(send, { tries });
    say(`${message}.`);
    navigate(href(["jobs", batchJobId]));
    return "";
  }

  const call = (requestId: string) => {
    const command = { batchJobId, requestId, expectedRevision: revision };
    return start === "now"
      ? callOf(BatchJobService.method.startBatchJob, command)
      : callOf(BatchJobService.method.rescheduleBatchJob, { ...command, ...asRequest(picked) });
  };
  if (!isAllowed) {
    return (
      <Empty title="This job cannot be started from here any more.">
        <a class="button" href={href(["jobs", batchJobId])}>
          Look at the job
        </a>
      </Empty>
    );
  }
  const problem =
    start === "scheduled" && reading.kind !== "read" ? "Give a start time that the service takes." : "";
  return (
    <Form
      label="Start the calls"
      submit={submits[start]}
      problem={problem}
      onSubmit={submit}
      call={start === "later" || problem !== "" ? undefined : call}
    >
      <Planned job={job} from={from} />
      <StartChoice start={start} picked={picked} reading={reading} onStart={setStart} onPick={setPicked} />
    </Form>
  );
}

/** Who is called, and when the calls would begin and end. */
function Planned({ job, from }: { job: BatchJob; from: "now" | Date }) {
  const plan = usePlan(job, { callSeconds: usualCallSeconds, from });
  return (
    <section class="card" aria-labelledby="planned-title">
      <h2 id="planned-title">{from === "now" ? "If it starts now" : "If it starts then"}</h2>
      <p>
        {counted(openIn(job.counts) - neverCalledIn(plan), "person", "people")} will be called, at most{" "}
        {counted(job.concurrentCallLimit, "call")} at once.
      </p>
      <div aria-live="polite" class="stack">
        {plan === undefined ? (
          <Loading what="the plan" />
        ) : (
          sentencesOf(plan, usualCallSeconds, job).map((sentence) => <p key={sentence}>{sentence}</p>)
        )}
      </div>
      {plan !== undefined && plan.contactsNeverCalled > 0 && (
        <Notice tone="warning">Look at the calling hours before the start.</Notice>
      )}
    </section>
  );
}
