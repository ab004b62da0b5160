import { useState } from "preact/hooks";
import { session } from "../../data/session.ts";
import { Heading } from "../../ui/heading.tsx";
import { Empty } from "../../ui/notice.tsx";
import type { Picked } from "../../ui/start-time-picker.tsx";
import { say } from "../../data/flash.ts";
import { counted } from "../../ui/format/numbers.ts";
import { readStartTime } from "../../ui/format/start-time.ts";
import { viewerZone } from "../../ui/format/times.ts";
import { href, navigate } from "../../data/route.ts";
import { createJob, startAsChosen } from "./create-job.ts";
import { CsvCard } from "./csv-card.tsx";
import { type Problems, type Settings, firstSettings, problemsOf } from "./settings.ts";
import { CallFields, JobFields } from "./settings-fields.tsx";
import { type Start, StartChoice } from "./start-choice.tsx";
import { rejectedWords } from "./upload.ts";
import { UploadNotice } from "./upload-notice.tsx";
import { useCsv } from "./use-csv.ts";
import { type Plan, useUpload } from "./use-upload.ts";

export const CreateView = () =>
  session.value?.mayCreate ? (
    <Form />
  ) : (
    <>
      <Heading title="New job" />
      <Empty title="This key may look, and not create.">
        <p>Sign in with the key of an operator or an admin.</p>
      </Empty>
    </>
  );

function Form() {
  const { csv, choose, judge } = useCsv();
  const { sending, send, stop } = useUpload();
  const [settings, setSettings] = useState(firstSettings);
  const [start, setStart] = useState<Start>("later");
  const [picked, setPicked] = useState<Picked>({ date: "", time: "", zone: viewerZone });
  const [problems, setProblems] = useState<Problems>({});
  const [hint, setHint] = useState("");
  const ready = csv.kind === "read" ? (csv.check?.accepted ?? 0) : 0;
  const isBegun = sending !== undefined;

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
    const reading = readStartTime(picked.date, picked.time, picked.zone, new Date());
    if (start === "scheduled" && reading.kind !== "instant") return "Give a start time that exists.";
    return "";
  }

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    const missing = whatIsMissing();
    setHint(missing);
    if (missing !== "" || csv.kind !== "read") return;
    const plan: Plan = {
      before: (requestId) => createJob(settings, requestId),
      async after(batchJobId, requestId, sent) {
        const said = await startAsChosen(batchJobId, requestId, start, picked);
        say(`Created with ${counted(sent.accepted, "contact")}.${rejectedWords(sent)} ${said}.`);
        navigate(href(["jobs", batchJobId]));
      },
    };
    await send(csv.file, ready, plan);
  }

  return (
    <form class="stack" noValidate onSubmit={submit} aria-label="New job">
      <nav aria-label="Where you are">
        <ol class="crumbs">
          <li>
            <a href={href([])}>Jobs</a>
          </li>
          <li aria-current="page">New job</li>
        </ol>
      </nav>
      <Heading title="New job" />
      {/* What is being sent must not change any more: a repetition would be another request. */}
      <fieldset class="stack" disabled={isBegun}>
        <CsvCard csv={csv} onChoose={chooseFile} onColumns={(file, columns) => void judge(file, columns)} />
        <div class="halves">
          <div class="stack">
            <JobFields settings={settings} problems={problems} onChange={change} />
            <StartChoice start={start} picked={picked} onStart={setStart} onPick={setPicked} />
          </div>
          <CallFields settings={settings} problems={problems} onChange={change} />
        </div>
      </fieldset>
      {sending && <UploadNotice sending={sending} onStop={stop} />}
      <div class="actions">
        <button type="submit" class="primary" aria-disabled={sending?.isGoing ?? false}>
          {isBegun
            ? "Go on"
            : ready > 0
              ? `Create the job with ${counted(ready, "contact")}`
              : "Create the job"}
        </button>
        <p class="problem" role="alert">
          {hint}
        </p>
      </div>
    </form>
  );
}
