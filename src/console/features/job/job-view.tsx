import type { BatchJob } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { JobBadge } from "../../ui/badge.tsx";
import { Heading } from "../../ui/heading.tsx";
import { Empty, Loading, Notice } from "../../ui/notice.tsx";
import { flash } from "../../data/flash.ts";
import { failureReasonWords } from "../../ui/format/words.ts";
import { href } from "../../data/route.ts";
import { Commands } from "./commands.tsx";
import { ContactsCard } from "./contacts-card.tsx";
import { ScheduleCard, SettingsCard } from "./facts.tsx";
import { Figures } from "./figures.tsx";
import { OutcomesCard } from "./outcomes-card.tsx";
import { ProgressCard } from "./progress-card.tsx";
import { useJob } from "./use-job.ts";

export function JobView({ id }: { id: string }) {
  const { job, refusal } = useJob(id);
  return (
    <>
      <nav aria-label="Where you are">
        <ol class="crumbs">
          <li>
            <a href={href([])}>Jobs</a>
          </li>
          <li aria-current="page">{job ? <bdi>{job.name}</bdi> : "Job"}</li>
        </ol>
      </nav>
      {refusal ? (
        <Gone message={job ? "This job was deleted." : refusal.message} />
      ) : (
        <>{job ? <Whole job={job} /> : <Loading what="the job" />}</>
      )}
    </>
  );
}

const Gone = ({ message }: { message: string }) => (
  <>
    <Heading title="No such job" />
    <Empty title={message}>
      <a class="button" href={href([])}>
        All jobs
      </a>
    </Empty>
  </>
);

const Whole = ({ job }: { job: BatchJob }) => (
  <>
    <div class="title-bar">
      <div class="job-title">
        <Heading title={job.name}>
          <span dir="auto">{job.name}</span>
        </Heading>
        <JobBadge status={job.status} />
      </div>
      <Commands job={job} />
    </div>
    {flash.value !== "" && <Notice tone="good">{flash.value}</Notice>}
    {job.failureReason !== "" && (
      <Notice tone="bad">
        This job failed: {failureReasonWords[job.failureReason] ?? job.failureReason}
      </Notice>
    )}
    {job.description !== "" && (
      <p class="description" dir="auto">
        {job.description}
      </p>
    )}
    <Figures job={job} />
    <div class="columns">
      <ProgressCard job={job} />
      {job.counts && <OutcomesCard id={job.batchJobId} counts={job.counts} />}
    </div>
    <div class="halves">
      <ScheduleCard job={job} />
      <SettingsCard job={job} />
    </div>
    <ContactsCard job={job} />
  </>
);
