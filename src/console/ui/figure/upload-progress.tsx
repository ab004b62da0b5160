import type { Added, Upload } from "../../data/upload/upload-list.ts";
import { stopUpload } from "../../data/upload/uploads.ts";
import { count, counted } from "../format/numbers.ts";
import { PlainProgress } from "./progress.tsx";

/** How far an upload is that has not come to its end, in words and as a bar. */
export function UploadProgress({ upload }: { upload: Upload }) {
  const { id, jobName, contacts, state } = upload;
  if (state.kind !== "sending" && state.kind !== "adding") return null;
  const people = counted(contacts, "contact");
  const share = state.kind === "sending" ? Math.floor(state.share * 100) : 100;
  return (
    <div class="stack">
      <div class="title-bar">
        <p role="status">
          {state.kind === "sending" ? `Sending ${people} to ` : `${people} sent; the service adds them to `}
          <strong>
            <bdi>{jobName}</bdi>
          </strong>
          {state.isWaiting && ". The service does not answer; it is tried again by itself"}
        </p>
        {(state.kind === "sending" || state.isWaiting) && (
          <button type="button" onClick={() => stopUpload(id)}>
            Stop
          </button>
        )}
      </div>
      <PlainProgress label="Sent" value={share} max={100} />
    </div>
  );
}

/** Why a contact is not accepted that the page has judged to be one; the service alone knows. */
const reasons: ReadonlyMap<string, readonly [one: string, many: string]> = new Map([
  ["REJECTION_REASON_DUPLICATE_PHONE", ["is in the job already", "are in the job already"]],
  ["REJECTION_REASON_ERASED_PHONE", ["is of a person who was erased", "are of people who were erased"]],
]);
const otherReason = ["breaks another rule", "break another rule"] as const;

function whyNot({ rejectedContactsCount: all, rejectedContacts: first }: Added): string {
  if (all === 0) return "";
  const ofEach = Map.groupBy(first, ({ reason }) => reasons.get(reason) ?? otherReason);
  const parts = [...ofEach].map(
    ([[one, many], { length }]) => `${count(length)} ${length === 1 ? one : many}`,
  );
  const of = first.length < all ? `of the first ${count(first.length)} ` : "";
  return `${counted(all, "contact was", "contacts were")} not accepted: ${of}${parts.join(", ")}. `;
}

/** What became of an upload, and how good that is. */
export function endOf({ state, jobName }: Upload): { tone: "good" | "warning" | "bad"; sentence: string } {
  if (state.kind === "stopped") {
    const sentence = state.isSure
      ? `Stopped: nothing was added to “${jobName}”.`
      : `Stopped. The service had the whole file and did not answer: “${jobName}” shows whether its contacts are in it.`;
    return { tone: "warning", sentence };
  }
  if (state.kind === "refused") {
    return { tone: "bad", sentence: `Nothing was added to “${jobName}”. ${state.refusal.message}` };
  }
  if (state.kind !== "done") return { tone: "good", sentence: "" };
  const { acceptedCount } = state.added;
  return {
    tone: acceptedCount === 0 ? "warning" : "good",
    sentence: `${counted(acceptedCount, "contact")} added. ${whyNot(state.added)}`.trim(),
  };
}
