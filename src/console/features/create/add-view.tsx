import { type BatchJob, BatchJobCommand } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { href } from "../../data/page/route.ts";
import { uploadOf } from "../../data/service/as-curl.ts";
import { useJob } from "../../data/load/use-job.ts";
import { Crumbs } from "../../ui/page/crumbs.tsx";
import { Form } from "../../ui/form/form.tsx";
import { counted } from "../../ui/format/numbers.ts";
import { Heading } from "../../ui/page/heading.tsx";
import { Empty, Loading, Notice } from "../../ui/page/notice.tsx";
import { FileCard } from "./file-card.tsx";
import { UploadNotice } from "./upload-notice.tsx";
import { readyIn, titlesOf, useFile } from "./use-file.ts";
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
      {job?.allowedCommands.includes(BatchJobCommand.ADD_CONTACTS) && <Adding job={job} />}
      {job && !job.allowedCommands.includes(BatchJobCommand.ADD_CONTACTS) && (
        <Empty title="The service takes no more contacts for this job from this key." />
      )}
    </>
  );
}

function Adding({ job }: { job: BatchJob }) {
  const { state, choose, layOut, judge } = useFile();
  const { upload, failed, begin } = useUpload((batchJobId) => href(["jobs", batchJobId]));
  const ready = readyIn(state);
  const { batchJobId, name: jobName } = job;

  async function add(): Promise<string> {
    if (state.kind !== "read") return "";
    const { file } = state;
    await begin(async () => ({
      jobName,
      contacts: ready,
      file: await file.write(),
      before: () => Promise.resolve(batchJobId),
      undo: () => Promise.resolve(),
    }));
    return "";
  }

  return (
    <Form
      label="Add contacts"
      submit={ready > 0 ? `Add ${counted(ready, "contact")}` : "Add contacts"}
      isOff={ready === 0 || upload !== undefined}
      onSubmit={add}
      call={
        ready === 0 || state.kind !== "read"
          ? undefined
          : (requestId) => ({
              command: uploadOf(batchJobId, titlesOf(state.reviewed?.columns ?? []), requestId),
            })
      }
    >
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
    </Form>
  );
}
