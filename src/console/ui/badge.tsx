import { BatchJobStatus, ContactStatus } from "../../gen/callsheet/v1/batch_job_pb.ts";
import { contactStatusWords, jobStatusWords } from "./format/words.ts";

const jobTones: ReadonlyMap<number, string> = new Map([
  [BatchJobStatus.SCHEDULED, "planned"],
  [BatchJobStatus.RUNNING, "active"],
  [BatchJobStatus.PAUSED, "held"],
  [BatchJobStatus.COMPLETED, "good"],
  [BatchJobStatus.FAILED, "bad"],
]);

const contactTones: ReadonlyMap<number, string> = new Map([
  [ContactStatus.DIALING, "active"],
  [ContactStatus.WAITING_RETRY, "held"],
  [ContactStatus.COMPLETED, "good"],
  [ContactStatus.INVALID_NUMBER, "bad"],
  [ContactStatus.BLOCKED, "bad"],
  [ContactStatus.CARRIER_ERROR, "bad"],
  [ContactStatus.FAILED, "bad"],
]);

const Badge = ({ tone, word }: { tone: string; word: string }) => (
  <span class={`badge ${tone}`}>
    <span class="dot" aria-hidden="true" />
    {word}
  </span>
);

export const JobBadge = ({ status }: { status: BatchJobStatus }) => (
  <Badge tone={jobTones.get(status) ?? "quiet"} word={jobStatusWords.get(status) ?? "Unknown"} />
);

export const ContactBadge = ({ status }: { status: ContactStatus }) => (
  <Badge tone={contactTones.get(status) ?? "quiet"} word={contactStatusWords.get(status) ?? "Unknown"} />
);
