import { useEffect, useRef, useState } from "preact/hooks";
import { say } from "../../data/page/flash.ts";
import { navigate } from "../../data/page/route.ts";
import { dismissUpload, isGoing, ownUpload, rejectedIn, uploads } from "../../data/upload/upload-list.ts";
import { type UploadPlan, beginUpload } from "../../data/upload/uploads.ts";
import { endOf } from "../../ui/figure/upload-progress.tsx";

/**
 * The upload of a form: while it goes on the form is locked, and one that came to nothing unlocks it again. It goes on
 * when the form is left. Once its contacts are in their job the view at `then` is shown.
 */
export function useUpload(then: (batchJobId: string) => string) {
  const id = ownUpload.value;
  const upload = uploads.value.find((other) => other.id === id);
  const [failed, setFailed] = useState<ReturnType<typeof endOf>>();
  const isBegun = useRef(false);
  useEffect(
    () => () => {
      ownUpload.value = "";
    },
    [],
  );
  useEffect(() => {
    if (upload === undefined || isGoing(upload)) return;
    const { tone, sentence } = endOf(upload);
    // What the service has rejected is had from the list of uploads, wherever one goes.
    const isKept = rejectedIn(upload) > 0;
    if (!isKept) dismissUpload(upload.id);
    ownUpload.value = "";
    isBegun.current = false;
    if (upload.state.kind !== "done") return setFailed({ tone, sentence });
    if (!isKept) say(sentence, tone === "good" ? "good" : "warning");
    navigate(then(upload.batchJobId));
  }, [upload?.state]);

  /** A second click, while what is needed for the first is made ready, begins nothing. */
  async function begin(plan: () => Promise<UploadPlan>): Promise<void> {
    if (isBegun.current) return;
    isBegun.current = true;
    setFailed(undefined);
    try {
      ownUpload.value = beginUpload(await plan());
    } catch (error) {
      isBegun.current = false;
      throw error;
    }
  }

  return { upload, failed, begin };
}
