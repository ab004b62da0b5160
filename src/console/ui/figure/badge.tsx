import { BatchJobStatus, ContactStatus } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import css from "./badge.module.css";
import { contactStatusWords, jobStatusWords } from "../format/words.ts";

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

/** What stands out of a row: how it is with something. */
export const Badge = ({
  of,
  tone,
  word,
}: {
  of: "job" | "contact" | "webhook" | "delivery";
  tone: string;
  word: string;
}) => (
  <span class={`${css.badge} ${css[tone] ?? ""}`} data-badge={of}>
    <span class={css.dot} aria-hidden="true" />
    {word}
  </span>
);

export const JobBadge = ({ status }: { status: BatchJobStatus }) => (
  <Badge of="job" tone={jobTones.get(status) ?? "quiet"} word={jobStatusWords.get(status) ?? "Unknown"} />
);

export const ContactBadge = ({ status }: { status: ContactStatus }) => (
  <Badge
    of="contact"
    tone={contactTones.get(status) ?? "quiet"}
    word={contactStatusWords.get(status) ?? "Unknown"}
  />
);
