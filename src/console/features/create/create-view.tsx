import { useEffect, useState } from "preact/hooks";
import { askBeforeLeaving, route } from "../../data/route.ts";
import { mayChange } from "../../data/session.ts";
import { Crumbs } from "../../ui/crumbs.tsx";
import { counted } from "../../ui/format/numbers.ts";
import { viewerZone } from "../../ui/format/times.ts";
import { Heading } from "../../ui/heading.tsx";
import { Empty, Loading, Notice } from "../../ui/notice.tsx";
import { type Problems, type Settings, firstSettings, problemsOf, settingsOf } from "../../ui/settings.ts";
import { CallFields, JobFields } from "../../ui/settings-fields.tsx";

import { type Picked, nothingPicked, useReading } from "../../data/use-reading.ts";
import { useJob } from "../../data/use-job.ts";
import { createJob, deleteEmpty, startAsChosen } from "./create-job.ts";
import { CsvCard } from "./csv-card.tsx";
import { type Start, StartChoice } from "./start-choice.tsx";
import { UploadNotice } from "./upload-notice.tsx";
import { useCsv } from "./use-csv.ts";
import { useUpload } from "./use-upload.ts";

/** A new job, perhaps with the settings of another: `?like=ID`. */
export function CreateView() {
  const like = route.value.query.get("like") ?? "";
  if (mayChange()) return like === "" ? <Form first={firstSettings} /> : <LikeAnother key={like} id={like} />;
  return (
    <>
      <Heading title="New job" />
      <Empty title="This key may look, and not create.">
        <p>Sign in with the key of an operator or an admin.</p>
      </Empty>
    </>
  );
}

function LikeAnother({ id }: { id: string }) {
  const { job, refusal } = useJob(id);
  const [first, setFirst] = useState<Settings>();
  useEffect(() => {
    if (job !== undefined) setFirst((before) => before ?? settingsOf(job));
  }, [job]);
  if (refusal !== undefined) return <Empty title={refusal.message} />;
  return first === undefined ? <Loading what="the settings" /> : <Form first={first} />;
}

function Form({ first }: { first: Settings }) {
  const { csv, choose, judge } = useCsv();
  const { upload, failed, begin } = useUpload();
  const [settings, setSettings] = useState(first);
  const [start, setStart] = useState<Start>("later");
  const [picked, setPicked] = useState<Picked>(nothingPicked(viewerZone));
  const reading = useReading(picked);
  const [problems, setProblems] = useState<Problems>({});
  const [hint, setHint] = useState("");
  const ready = csv.kind === "read" ? (csv.check?.accepted ?? 0) : 0;
  const isBegun = upload !== undefined;
  const isChosen = csv.kind === "read" && !isBegun;
  useEffect(
    () => (isChosen ? askBeforeLeaving(() => "The new job is not created yet. Leave it?") : undefined),
    [isChosen],
  );

  function change(changes: Partial<Settings>): void {
    setSettings((before) => ({ ...before, ...changes }));
    setProblems({});
  }

  function chooseFile(file: File): void {
    void choose(file);
    const name = file.name.replace(/\.[^.]*$/, "");
    setSettings((before) => (before.name === "" ? { ...before, name } : before));
  }

  function whatIsMissing(): string {
    const found = problemsOf(settings);
    setProblems(found);
    if (csv.kind !== "read" || csv.check === undefined) return "Choose a CSV file first.";
    if (csv.check.accepted === 0) return "No row of the file has a valid phone number.";
    if (Object.keys(found).length > 0) return "Some settings of the job need another look.";
    if (start === "scheduled" && reading.kind !== "read") return "Give a start time that the service takes.";
    return "";
  }

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    const missing = whatIsMissing();
    setHint(missing);
    if (missing !== "" || csv.kind !== "read") return;
    const { file } = csv;
    await begin(async () => ({
      jobName: settings.name.trim(),
      contacts: ready,
      file: await file.write(),
      before: (requestId) => createJob(settings, requestId),
      after: (batchJobId, requestId) => startAsChosen(batchJobId, requestId, start, picked),
      undo: deleteEmpty,
    }));
  }

  return (
    <form class="stack" noValidate onSubmit={submit} aria-label="New job">
      <Crumbs here="New job" />
      <Heading title="New job" />
      {/* What is being sent must not change any more: a repetition would be another request. */}
      <fieldset class="stack" disabled={isBegun}>
        <CsvCard
          csv={csv}
          onChoose={chooseFile}
          onColumns={(file, columns, region) => void judge(file, columns, region)}
        />
        <div class="halves">
          <div class="stack">
            <JobFields settings={settings} problems={problems} onChange={change} />
            <StartChoice
              start={start}
              picked={picked}
              reading={reading}
              onStart={setStart}
              onPick={setPicked}
            />
          </div>
          <CallFields settings={settings} problems={problems} onChange={change} />
        </div>
      </fieldset>
      {upload && <UploadNotice upload={upload} />}
      {failed && <Notice tone={failed.tone}>{failed.sentence}</Notice>}
      <div class="actions">
        <button type="submit" class="primary" aria-disabled={isBegun}>
          {ready > 0 ? `Create the job with ${counted(ready, "contact")}` : "Create the job"}
        </button>
        <p class="problem" role="alert">
          {hint}
        </p>
      </div>
    </form>
  );
}
