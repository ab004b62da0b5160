import { useRef } from "preact/hooks";
import type { BatchJob, ContactStatus } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { service } from "../../../data/service/client.ts";
import { say } from "../../../data/page/flash.ts";
import { insist } from "../../../data/service/insist.ts";
import { newRequestId } from "../../../data/service/request-id.ts";
import { href, navigate } from "../../../data/page/route.ts";
import { callOf } from "../../../ui/form/as-curl.tsx";
import { Dialog } from "../../../ui/form/dialog.tsx";
import { Form } from "../../../ui/form/form.tsx";
import { counted } from "../../../ui/format/numbers.ts";
import { contactStatusWords } from "../../../ui/format/words.ts";
import { settingsOf, toRequest } from "../../../ui/settings/settings.ts";
import css from "../job.module.css";

const tries = 4;
const longestName = 200;

/** Makes a new job of these contacts, with the settings of theirs. */
export function AgainDialog(props: {
  job: BatchJob;
  statuses: readonly ContactStatus[];
  onClose: () => void;
}) {
  const { job, statuses, onClose } = props;
  // The same for every try: the job is made once.
  const requestId = useRef(newRequestId());
  const which = statuses.map((status) => `“${contactStatusWords.get(status) ?? ""}”`).join(", ");

  // An end that has come is that job's alone.
  const settings = { ...settingsOf(job), name: `${job.name}, again`.slice(0, longestName), endAt: "" };
  const request = {
    ...toRequest(settings, job.callingHours),
    timezone: job.timezone,
    copyContacts: { batchJobId: job.batchJobId, statuses: [...statuses] },
  };

  async function create(): Promise<string> {
    const { batchJobId, totalContacts } = await insist(
      () => service.createBatchJob({ ...request, requestId: requestId.current }),
      { tries },
    );
    say(`A new job with ${counted(totalContacts, "contact")}. It waits to be started.`);
    navigate(href(["jobs", batchJobId]));
    return "";
  }

  return (
    <Dialog title="Call these again?" onClose={onClose}>
      <ul class={css.whatHappens}>
        <li>
          A new job is made with{" "}
          {statuses.length === 0 ? "all contacts of this one" : `its contacts that are ${which}`}, and with
          its settings.
        </li>
        <li>Who is on the never-call list stays out.</li>
        <li>Nobody is called before the new job is started.</li>
      </ul>
      <Form
        label="Call these again"
        submit="Make the job"
        onSubmit={create}
        call={(id) => callOf(BatchJobService.method.createBatchJob, { ...request, requestId: id })}
        beside={
          <button type="button" onClick={onClose}>
            Leave it
          </button>
        }
      />
    </Dialog>
  );
}
