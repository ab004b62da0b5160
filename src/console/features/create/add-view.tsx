import { type BatchJob, BatchJobCommand } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { href } from "../../data/page/route.ts";
import { useJob } from "../../data/load/use-job.ts";
import { Crumbs } from "../../ui/page/crumbs.tsx";
import { counted } from "../../ui/format/numbers.ts";
import { Heading } from "../../ui/page/heading.tsx";
import { Empty, Loading, Notice } from "../../ui/page/notice.tsx";
import { FileCard } from "./file-card.tsx";
import { UploadNotice } from "./upload-notice.tsx";
import { readyIn, useFile } from "./use-file.ts";
import { useUpload } from "./use-upload.ts";

export function AddView({ id }: { id: string }) {
  const { job, refusal } = useJob(id);
  return (
    <>
      <Crumbs here="Add contacts">
        <a href={href(["jobs", id])}>{job ? <bdi>{job.name}</bdi> : "Job"}</a>
      </Crumbs>
      <Heading title="Add contacts" />
      {refusal && <Empty title={refusal.message} />}
      {job === undefined && refusal === undefined && <Loading what="the job" />}
      {job?.allowedCommands.includes(BatchJobCommand.ADD_CONTACTS) && <Form job={job} />}
      {job && !job.allowedCommands.includes(BatchJobCommand.ADD_CONTACTS) && (
        <Empty title="The service takes no more contacts for this job from this key." />
      )}
    </>
  );
}

function Form({ job }: { job: BatchJob }) {
  const { state, choose, layOut, judge } = useFile();
  const { upload, failed, begin } = useUpload((batchJobId) => href(["jobs", batchJobId]));
  const ready = readyIn(state);
  const { batchJobId, name: jobName } = job;

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    if (state.kind !== "read" || ready === 0) return;
    const { file } = state;
    await begin(async () => ({
      jobName,
      contacts: ready,
      file: await file.write(),
      before: () => Promise.resolve(batchJobId),
      after: () => Promise.resolve(""),
      undo: () => Promise.resolve(),
    }));
  }

  return (
    <form class="stack" noValidate onSubmit={submit} aria-label="Add contacts">
      <fieldset class="stack" disabled={upload !== undefined}>
        <FileCard
          state={state}
          onChoose={(file) => void choose(file)}
          onLayOut={(file, how) => void layOut(file, how)}
          onJudge={(file, part, choice) => void judge(file, part, choice)}
        />
      </fieldset>
      {upload && <UploadNotice upload={upload} />}
      {failed && <Notice tone={failed.tone}>{failed.sentence}</Notice>}
      <div class="actions">
        <button type="submit" class="primary" aria-disabled={ready === 0 || upload !== undefined}>
          {ready > 0 ? `Add ${counted(ready, "contact")}` : "Add contacts"}
        </button>
      </div>
    </form>
  );
}
