import { Notice } from "../../ui/notice.tsx";
import { PlainProgress } from "../../ui/progress.tsx";
import { count } from "../../ui/format/numbers.ts";
import { href } from "../../data/route.ts";
import type { Sending } from "./use-upload.ts";

/** How far the upload is, and why it does not go on. */
export function UploadNotice({ sending, onStop }: { sending: Sending; onStop: () => void }) {
  const { batchJobId, sent, total, isGoing, problem } = sending;
  return (
    <section class="card" aria-label="Upload">
      <div class="title-bar">
        <p role="status">
          <strong>{count(sent.sent)}</strong> of {count(total)} contacts sent
          {sent.rejected > 0 && `, ${count(sent.rejected)} of them not accepted`}
        </p>
        {isGoing && (
          <button type="button" onClick={onStop}>
            Stop
          </button>
        )}
      </div>
      <PlainProgress label="Contacts sent" value={sent.sent} max={total} />
      {problem !== "" && (
        <Notice tone="bad">
          {problem} {batchJobId !== "" && <a href={href(["jobs", batchJobId])}>Open the job</a>}
        </Notice>
      )}
    </section>
  );
}
