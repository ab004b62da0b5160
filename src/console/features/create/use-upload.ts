import { useEffect, useRef, useState } from "preact/hooks";
import { refusalOf } from "../../data/refusal.ts";
import { newRequestId } from "../../data/request-id.ts";
import type { CsvFile } from "./csv/csv-file.ts";
import { type Sent, nothingSent, upload } from "./upload.ts";

/** The state of sending a file. `problem` says why it stopped; it can go on from there. */
export type Sending = {
  /** Empty until there is one. */
  readonly batchJobId: string;
  readonly sent: Sent;
  readonly total: number;
  readonly isGoing: boolean;
  readonly problem: string;
};

/** What there is to do around the upload itself; each step is safe to repeat under the ids that it is given. */
export type Plan = {
  /** Resolves with the job to add to. */
  readonly before: (requestId: string) => Promise<string>;
  readonly after: (batchJobId: string, requestId: string, sent: Sent) => Promise<void>;
};

/**
 * Sends a file once: a click on a button that was clicked already, or going on after a failure, sends nothing twice.
 */
export function useUpload() {
  const [sending, setSending] = useState<Sending>();
  const ids = useRef({ before: newRequestId(), upload: newRequestId(), after: newRequestId() });
  const isGoing = useRef(false);
  const sent = useRef(nothingSent);
  const stop = useRef(new AbortController());

  useEffect(() => () => stop.current.abort(), []);
  useEffect(() => {
    if (!sending?.isGoing) return;
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  }, [sending?.isGoing]);

  async function send(file: CsvFile, total: number, plan: Plan): Promise<void> {
    if (isGoing.current) return;
    isGoing.current = true;
    stop.current = new AbortController();
    const { signal } = stop.current;
    let batchJobId = "";
    const show = (changes: Partial<Sending>) =>
      setSending({ batchJobId, sent: sent.current, total, isGoing: true, problem: "", ...changes });
    show({});
    try {
      batchJobId = await plan.before(ids.current.before);
      const target = { batchJobId, uploadId: ids.current.upload };
      await upload(
        file,
        target,
        sent.current,
        (progress) => {
          sent.current = progress;
          show({});
        },
        signal,
      );
      await plan.after(batchJobId, ids.current.after, sent.current);
      show({ isGoing: false });
    } catch (error) {
      const problem = signal.aborted ? "Stopped. What was sent is in the job." : refusalOf(error).message;
      show({ isGoing: false, problem });
    } finally {
      isGoing.current = false;
    }
  }

  return { sending, send, stop: () => stop.current.abort() };
}
