import type { Upload } from "../../data/upload/upload-list.ts";
import { UploadProgress } from "../../ui/figure/upload-progress.tsx";

/** How far the upload of this form is. The header shows the same wherever one goes. */
export const UploadNotice = ({ upload }: { upload: Upload }) => (
  <section class="card" aria-label="Upload">
    <UploadProgress upload={upload} />
    <p class="hint">
      You may go on to other pages meanwhile. Until the file is in its job this tab must stay open.
    </p>
  </section>
);
