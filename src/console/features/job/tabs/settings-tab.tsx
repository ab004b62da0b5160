import { useEffect, useState } from "preact/hooks";
import { type BatchJob, BatchJobCommand } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { service } from "../../../data/service/client.ts";
import { hasEnded, reloadJob } from "../../../data/load/use-job.ts";
import { MoreFields } from "../../../ui/settings/more-fields.tsx";
import { callOf } from "../../../ui/form/as-curl.tsx";
import { Form, type Said } from "../../../ui/form/form.tsx";
import { Notice } from "../../../ui/page/notice.tsx";
import {
  type Problems,
  type Settings,
  changedFields,
  problemsOf,
  settingsOf,
  toRequest,
} from "../../../ui/settings/settings.ts";
import { CallFields, JobFields } from "../../../ui/settings/settings-fields.tsx";
import { saidOf } from "../commands/outcome-notice.tsx";
import { useCommand } from "../commands/use-command.ts";

/** The settings of a job, to be changed while it waits or runs, by whom the service allows it. */
export function SettingsTab({ job }: { job: BatchJob }) {
  // What was not changed here follows the job; what was is kept until it is saved or given up.
  const [seen, setSeen] = useState(job);
  const [settings, setSettings] = useState<Settings>(() => settingsOf(job));
  const [problems, setProblems] = useState<Problems>({});
  const { run } = useCommand();
  const changed = changedFields(settingsOf(seen), settings);
  const isAllowed = job.allowedCommands.includes(BatchJobCommand.UPDATE);
  const isOther = changedFields(settingsOf(seen), settingsOf(job)).length > 0;

  function showJob(): void {
    setSeen(job);
    setSettings(settingsOf(job));
    setProblems({});
  }

  useEffect(() => {
    if (changed.length === 0) showJob();
    else if (!isOther) setSeen(job);
  }, [job.revision, job.callingHours]);

  function updateOf() {
    const { fromPhoneNumberId: _, ...given } = toRequest(settings, seen.callingHours);
    return { ...given, updateMask: { paths: changed } };
  }

  async function save(): Promise<Said> {
    const found = problemsOf(settings);
    setProblems(found);
    if (Object.keys(found).length > 0) {
      return { tone: "bad", told: "Nothing was saved: something above is not right yet." };
    }
    const update = updateOf();
    const outcome = await run(
      {
        words: `update ${JSON.stringify(settings)}`,
        async send(request) {
          const { batchJob } = await service.updateBatchJob({ ...request, ...update });
          if (batchJob !== undefined) {
            setSeen(batchJob);
            setSettings(settingsOf(batchJob));
          }
          return { message: "Saved. It holds from now on" };
        },
      },
      seen,
    );
    reloadJob(job.batchJobId);
    return outcome === undefined ? { tone: "info", told: "" } : saidOf(outcome);
  }

  return (
    <Form
      label="Settings of the job"
      submit={isAllowed ? "Save" : undefined}
      isOff={changed.length === 0}
      onSubmit={save}
      beside={
        changed.length > 0 && (
          <button type="button" onClick={showJob}>
            Undo
          </button>
        )
      }
      call={
        changed.length === 0
          ? undefined
          : (requestId) =>
              callOf(BatchJobService.method.updateBatchJob, {
                batchJobId: job.batchJobId,
                requestId,
                expectedRevision: seen.revision,
                ...updateOf(),
              })
      }
    >
      {!isAllowed && (
        <p class="quiet">
          These settings cannot be changed: {hasEnded(job) ? "the job has ended" : "this key may only look"}.
        </p>
      )}
      <fieldset class="stack" disabled={!isAllowed}>
        <div class="halves">
          <JobFields settings={settings} problems={problems} onChange={change} isThere />
          <CallFields settings={settings} problems={problems} onChange={change} isThere />
        </div>
        <MoreFields key={String(seen.revision)} settings={settings} problems={problems} onChange={change} />
      </fieldset>
      {isOther && changed.length > 0 && (
        <Notice tone="warning">
          <p>Somebody else has changed the settings of this job meanwhile.</p>
          <button type="button" onClick={showJob}>
            Show them as they are now
          </button>
        </Notice>
      )}
    </Form>
  );

  function change(changes: Partial<Settings>): void {
    setProblems({});
    setSettings((before) => ({ ...before, ...changes }));
  }
}
