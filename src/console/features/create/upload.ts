import { service } from "../../data/client.ts";
import { insist } from "../../data/insist.ts";
import type { CsvFile } from "./csv/csv-file.ts";
import { counted } from "../../ui/format/numbers.ts";

/** Small enough that sending them does not hold up the page, and that the service takes them with 8 KiB each. */
export const chunkSize = 500;

/** How far an upload is. `sent` is where it goes on after it was stopped. */
export type Sent = { readonly sent: number; readonly accepted: number; readonly rejected: number };

export const nothingSent: Sent = { sent: 0, accepted: 0, rejected: 0 };

/** What the service did not accept after all, in words; most likely it was in the job already. */
export const rejectedWords = ({ rejected }: Sent): string =>
  rejected === 0 ? "" : ` ${counted(rejected, "contact was", "contacts were")} not accepted.`;

/**
 * Adds the file's accepted contacts to the job, chunk by chunk, from where `before` left off. Each chunk has its own
 * request id, so that a chunk that was sent twice is added once. While the service is away it waits for it.
 */
export async function upload(
  file: CsvFile,
  target: { batchJobId: string; uploadId: string },
  before: Sent,
  onProgress: (sent: Sent) => void,
  signal: AbortSignal,
): Promise<Sent> {
  let progress = before;
  for (;;) {
    signal.throwIfAborted();
    const contacts = await file.take(progress.sent, chunkSize);
    if (contacts.length === 0) return progress;
    const request = {
      batchJobId: target.batchJobId,
      requestId: `${target.uploadId}-${progress.sent}`,
      contacts: [...contacts],
    };
    const answer = await insist(() => service.addContacts(request, { signal }), { tries: Infinity, signal });
    progress = {
      sent: progress.sent + contacts.length,
      accepted: progress.accepted + answer.acceptedCount,
      rejected: progress.rejected + answer.rejectedContactsCount,
    };
    onProgress(progress);
  }
}
