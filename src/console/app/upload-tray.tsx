import { dismissUpload, ownUpload, uploads } from "../data/upload/upload-list.ts";
import { href } from "../data/page/route.ts";
import { Notice } from "../ui/page/notice.tsx";
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
