import { Code, ConnectError } from "@connectrpc/connect";
import { inBase } from "../page/base.ts";
import { noteRefusal } from "../service/client.ts";
import { noteAnswer } from "../service/connection.ts";
import { errorFrom } from "../service/http-error.ts";
import { insist } from "../service/insist.ts";
import { proof } from "../service/proof.ts";
import { refusalOf } from "../service/refusal.ts";
import { newRequestId } from "../service/request-id.ts";
import { askBeforeLeaving } from "../page/route.ts";
import { type Added, type Upload, isGoing, uploads } from "./upload-list.ts";

/** What there is to do around the file itself; each step is safe to repeat under the id that it is given. */
export type UploadPlan = {
  readonly jobName: string;
  readonly contacts: number;
  readonly file: Blob;
  /** Resolves with the job to add to. */
  readonly before: (requestId: string) => Promise<string>;
  /** Takes back what `before` did, if no contact came of it. */
  readonly undo: (batchJobId: string) => Promise<void>;
};

const stops = new Map<string, AbortController>();

askBeforeLeaving((left) =>
  left === "page" && uploads.value.some(isGoing) ? "A file is being sent, and is not in its job yet." : "",
);

function change(id: string, changes: Partial<Upload>): void {
  uploads.value = uploads.value.map((upload) => (upload.id === id ? { ...upload, ...changes } : upload));
}

/** Of a file that is not there as a whole nothing is added. */
export const stopUpload = (id: string): void => stops.get(id)?.abort();

/** Sends a file to its job; answers the upload's id at once. */
export function beginUpload(plan: UploadPlan): string {
  const id = newRequestId();
  const { jobName, contacts } = plan;
  const state = { kind: "sending", share: 0, isWaiting: false } as const;
  uploads.value = [...uploads.value, { id, jobName, contacts, batchJobId: "", state }];
  const stop = new AbortController();
  stops.set(id, stop);
  void run(id, plan, stop.signal).finally(() => stops.delete(id));
  return id;
}

async function run(id: string, plan: UploadPlan, stop: AbortSignal): Promise<void> {
  let batchJobId = "";
  try {
    batchJobId = await insist(() => plan.before(`${id}-before`), { tries: Infinity, signal: stop });
    change(id, { batchJobId });
    const added = await send(id, { batchJobId, file: plan.file }, stop);
    change(id, { state: { kind: "done", added } });
  } catch (error) {
    // A job that was made for a file which is not in it is nothing that anybody wants to keep.
    if (batchJobId !== "") await plan.undo(batchJobId).catch(() => {});
    const isSure = uploads.value.find((upload) => upload.id === id)?.state.kind !== "adding";
    change(id, {
      state: stop.aborted ? { kind: "stopped", isSure } : { kind: "refused", refusal: refusalOf(error) },
    });
  }
}

/** Sends the file until the service has answered: under one request id, so that it is added once. */
async function send(
  id: string,
  target: { batchJobId: string; file: Blob },
  stop: AbortSignal,
): Promise<Added> {
  let isWhole = false;
  let isWaiting = false;
  function onProgress(share: number): void {
    isWhole ||= share === 1;
    change(id, {
      state: isWhole ? { kind: "adding", isWaiting } : { kind: "sending", share, isWaiting },
    });
  }
  const path = inBase(`batch-jobs/${encodeURIComponent(target.batchJobId)}/contacts.csv?request_id=${id}`);
  return await insist(
    async () => {
      try {
        return await post(path, target.file, onProgress, stop);
      } catch (error) {
        isWaiting = refusalOf(error).isPassing;
        onProgress(0);
        throw error;
      }
    },
    { tries: Infinity, signal: stop },
  );
}

/** One try. XMLHttpRequest reads the file from where the browser has it, and tells how much of it is away. */
function post(
  path: string,
  file: Blob,
  onProgress: (share: number) => void,
  stop: AbortSignal,
): Promise<Added> {
  const { promise, resolve, reject } = Promise.withResolvers<Added>();
  const request = new XMLHttpRequest();
  const abort = () => request.abort();
  request.open("POST", path);
  request.setRequestHeader("content-type", "text/csv");
  for (const [name, value] of Object.entries(proof)) request.setRequestHeader(name, value);
  request.upload.addEventListener("progress", ({ loaded, total }) =>
    onProgress(total === 0 ? 0 : loaded / total),
  );
  const fail = (error: ConnectError) => {
    noteRefusal(error);
    reject(error);
  };
  request.addEventListener("load", () => {
    const { status, responseText } = request;
    if (status !== 200) return fail(errorFrom(status, responseText));
    noteAnswer();
    resolve(JSON.parse(responseText) as Added);
  });
  request.addEventListener("error", () => fail(errorFrom(0, "")));
  request.addEventListener("abort", () => reject(new ConnectError("Stopped.", Code.Canceled)));
  request.addEventListener("loadend", () => stop.removeEventListener("abort", abort));
  stop.addEventListener("abort", abort);
  if (stop.aborted) reject(new ConnectError("Stopped.", Code.Canceled));
  else request.send(file);
  return promise;
}
