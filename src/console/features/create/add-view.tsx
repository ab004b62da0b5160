import { service } from "../../data/client.ts";
import { useLoad } from "../../data/use-load.ts";
import { Heading } from "../../ui/heading.tsx";
import { Empty, Loading } from "../../ui/notice.tsx";
import { say } from "../../data/flash.ts";
import { type BatchJob, BatchJobCommand } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { counted } from "../../ui/format/numbers.ts";
import { href, navigate } from "../../data/route.ts";
import { CsvCard } from "./csv-card.tsx";
import { rejectedWords } from "./upload.ts";
import { UploadNotice } from "./upload-notice.tsx";
import { useCsv } from "./use-csv.ts";
import { useUpload } from "./use-upload.ts";

export function AddView({ id }: { id: string }) {
  const { data, refusal } = useLoad((signal) => service.getBatchJob({ batchJobId: id }, { signal }), [id]);
  const job = data?.batchJob;
  return (
    <>
      <nav aria-label="Where you are">
        <ol class="crumbs">
          <li>
            <a href={href([])}>Jobs</a>
          </li>
          <li>
            <a href={href(["jobs", id])}>{job ? <bdi>{job.name}</bdi> : "Job"}</a>
          </li>
          <li aria-current="page">Add contacts</li>
        </ol>
      </nav>
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
  const { csv, choose, judge } = useCsv();
  const { sending, send, stop } = useUpload();
  const ready = csv.kind === "read" ? (csv.check?.accepted ?? 0) : 0;
  const { batchJobId } = job;

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    if (csv.kind !== "read" || ready === 0) return;
    await send(csv.file, ready, {
      before: () => Promise.resolve(batchJobId),
      async after(_id, _requestId, sent) {
        say(`${counted(sent.accepted, "contact")} added.${rejectedWords(sent)}`);
        navigate(href(["jobs", batchJobId]));
      },
    });
  }

  return (
    <form class="stack" noValidate onSubmit={submit} aria-label="Add contacts">
      <fieldset class="stack" disabled={sending !== undefined}>
        <CsvCard
          csv={csv}
          onChoose={(file) => void choose(file)}
          onColumns={(file, columns) => void judge(file, columns)}
        />
      </fieldset>
      {sending && <UploadNotice sending={sending} onStop={stop} />}
      <div class="actions">
        <button type="submit" class="primary" aria-disabled={ready === 0 || (sending?.isGoing ?? false)}>
          {sending ? "Go on" : ready > 0 ? `Add ${counted(ready, "contact")}` : "Add contacts"}
        </button>
      </div>
    </form>
  );
}
