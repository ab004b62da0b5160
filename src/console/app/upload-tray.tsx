import { useState } from "preact/hooks";
import { type Upload, dismissUpload, ownUpload, rejectedIn, uploads } from "../data/upload/upload-list.ts";
import { downloadOf } from "../data/service/as-curl.ts";
import { download } from "../data/service/download.ts";
import { refusalOf } from "../data/service/refusal.ts";
import { href } from "../data/page/route.ts";
import { Notice } from "../ui/page/notice.tsx";
import { AsCurl } from "../ui/form/as-curl.tsx";
import { Problem } from "../ui/form/problem.tsx";
import { UploadProgress, endOf } from "../ui/figure/upload-progress.tsx";
import css from "./upload-tray.module.css";

/** The uploads of this tab, whichever view is shown; a form that shows its own takes it off this list when it ends. */
export function UploadTray() {
  const shown = uploads.value.filter(({ id }) => id !== ownUpload.value);
  if (shown.length === 0) return null;
  return (
    <section class={css.tray} aria-label="Uploads">
      {shown.map((upload) => {
        const { tone, sentence } = endOf(upload);
        if (sentence === "") return <UploadProgress key={upload.id} upload={upload} />;
        return (
          <Notice key={upload.id} tone={tone}>
            <p>{sentence}</p>
            <div class="actions">
              {upload.state.kind === "done" && (
                <a class="button" href={href(["jobs", upload.batchJobId])}>
                  Open “{upload.jobName}”
                </a>
              )}
              {rejectedIn(upload) > 0 && <SaveRejected upload={upload} />}
              <button type="button" onClick={() => dismissUpload(upload.id)}>
                Dismiss
              </button>
            </div>
          </Notice>
        );
      })}
    </section>
  );
}

/** The rows that the service has rejected, each with why, as a file to mend and to add. */
function SaveRejected({ upload }: { upload: Upload }) {
  const [problem, setProblem] = useState<string>();
  const importId = upload.state.kind === "done" ? upload.state.added.importId : "";
  const path = `batch-jobs/${upload.batchJobId}/imports/${encodeURIComponent(importId)}/rejected.csv`;
  async function save(): Promise<void> {
    setProblem(undefined);
    try {
      await download(path, `${upload.jobName}-rejected.csv`);
    } catch (error) {
      setProblem(refusalOf(error).message);
    }
  }
  return (
    <>
      <button type="button" onClick={() => void save()}>
        Save the rows that were not accepted
      </button>
      <Problem problem={problem} />
      <AsCurl title="The same as curl" call={() => ({ command: downloadOf(path, "rejected.csv") })} />
    </>
  );
}
