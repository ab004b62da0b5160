import { useEffect, useState } from "preact/hooks";
import { askBeforeLeaving, href, route } from "../../data/page/route.ts";
import { mayChange } from "../../data/service/session.ts";
import { Crumbs } from "../../ui/page/crumbs.tsx";
import { Form, type Said } from "../../ui/form/form.tsx";
import { counted } from "../../ui/format/numbers.ts";
import { Heading } from "../../ui/page/heading.tsx";
import { Empty, Loading, Notice } from "../../ui/page/notice.tsx";
import {
  type Problems,
  type Settings,
  firstSettings,
  problemsOf,
  settingsOf,
} from "../../ui/settings/settings.ts";
import { CallFields, JobFields } from "../../ui/settings/settings-fields.tsx";
import { MoreFields } from "../../ui/settings/more-fields.tsx";
import { useLoad } from "../../data/load/use-load.ts";
import { service } from "../../data/service/client.ts";
import { useJob } from "../../data/load/use-job.ts";
import { createJob, creating, deleteEmpty } from "./create-job.ts";
import type { ChosenFile } from "./file/chosen-file.ts";
import { FileCard } from "./file-card.tsx";
import { Review } from "./review/review.tsx";
import { UploadNotice } from "./upload-notice.tsx";
import { readyIn, titlesOf, useFile } from "./use-file.ts";
import { useUpload } from "./use-upload.ts";

/** A new job, perhaps with the settings of another: `?like=ID`. */
export function CreateView() {
  const like = route.value.query.get("like") ?? "";
  if (mayChange())
    return like === "" ? <NewJob first={firstSettings} /> : <LikeAnother key={like} id={like} />;
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
    // An end that has come, or is about to, is that job's alone.
    if (job !== undefined) setFirst((before) => before ?? { ...settingsOf(job), endAt: "" });
  }, [job]);
  if (refusal !== undefined) return <Empty title={refusal.message} />;
  return first === undefined ? <Loading what="the settings" /> : <NewJob first={first} />;
}

const lookedAt = 50;

/** The numbers that the newest jobs call from: most likely it is one of them again. */
function useKnownNumbers(): readonly string[] {
  const { data } = useLoad(["numbers"], (signal) =>
    service.listBatchJobs({ pageSize: lookedAt }, { signal }),
  );
  return [...new Set(data?.batchJobs.map(({ fromPhoneNumberId }) => fromPhoneNumberId))];
}

function NewJob({ first }: { first: Settings }) {
  const { state, choose, layOut, judge } = useFile();
  const { upload, failed, begin } = useUpload((batchJobId) => href(["jobs", batchJobId, "start"]));
  const [settings, setSettings] = useState(first);
  const [problems, setProblems] = useState<Problems>({});
  const [isReviewed, setReviewed] = useState(false);
  const numbers = useKnownNumbers();
  const ready = readyIn(state);
  const isBegun = upload !== undefined;
  const isChosen = state.kind === "read" && !isBegun;
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
    if (state.kind !== "read") return "Choose a file of contacts first.";
    if (state.reviewed?.check === undefined) return "Say first how the file is to be read.";
    if (ready === 0) return "No row of the file has a valid phone number.";
    return Object.values(found)[0] ?? "";
  }

  async function review(): Promise<string | Said> {
    const missing = whatIsMissing();
    if (missing !== "") return { tone: "bad", told: missing };
    setReviewed(true);
    return "";
  }

  async function create(file: ChosenFile): Promise<string> {
    await begin(async () => ({
      jobName: settings.name.trim(),
      contacts: ready,
      file: await file.write(),
      before: (requestId) => createJob(settings, requestId),
      undo: deleteEmpty,
    }));
    return "";
  }

  if (isReviewed && state.kind === "read" && state.reviewed?.check !== undefined) {
    const { file, reviewed } = state;
    return (
      <div key="review" class="stack">
        <Crumbs here="New job" />
        <Heading title="Review the new job" />
        <p class="quiet">
          Nothing is sent yet. When the calls begin is asked once the people are in the job.
        </p>
        <Form
          label="Review the new job"
          submit={`Create the job with ${counted(ready, "contact")}`}
          isOff={isBegun}
          onSubmit={() => create(file)}
          beside={
            <button type="button" disabled={isBegun} onClick={() => setReviewed(false)}>
              Change it
            </button>
          }
          call={creating(settings, titlesOf(reviewed.columns))}
        >
          <Review file={file} check={state.reviewed.check} settings={settings} />
          {upload && <UploadNotice upload={upload} />}
          {failed && <Notice tone={failed.tone}>{failed.sentence}</Notice>}
        </Form>
      </div>
    );
  }
  return (
    <div key="fill" class="stack">
      <Crumbs here="New job" />
      <Heading title="New job" />
      <Form
        label="New job"
        submit={ready > 0 ? `Review the job with ${counted(ready, "contact")}` : "Review the job"}
        onSubmit={review}
      >
        <FileCard
          state={state}
          onChoose={chooseFile}
          onLayOut={(file, how) => void layOut(file, how)}
          onJudge={(file, part, choice) => void judge(file, part, choice)}
        />
        <div class="halves">
          <div class="stack">
            <JobFields settings={settings} problems={problems} numbers={numbers} onChange={change} />
            <MoreFields settings={settings} problems={problems} onChange={change} />
          </div>
          <CallFields settings={settings} problems={problems} onChange={change} />
        </div>
      </Form>
    </div>
  );
}
