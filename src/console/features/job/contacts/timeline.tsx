import { dateOf, duration, exactTime, clockTime, msOf, viewerZone } from "../../../ui/format/times.ts";
import { endings } from "../../../ui/format/words.ts";
import type { Attempt } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import css from "./timeline.module.css";

/** The attempts at one contact, the first one first. */
export function Timeline({ attempts }: { attempts: readonly Attempt[] }) {
  return (
    <ol class={css.timeline} aria-label="Attempts">
      {attempts.map((attempt) => (
        <Step key={attempt.leaseId} attempt={attempt} />
      ))}
    </ol>
  );
}

function Step({ attempt }: { attempt: Attempt }) {
  const ending = endings.find(({ outcome }) => outcome === attempt.outcome);
  const leasedAt = dateOf(attempt.leasedAt);
  return (
    <li>
      <span
        class={css.mark}
        style={{ background: ending ? `var(--end-${ending.key})` : "var(--active)" }}
        aria-hidden="true"
      />
      <div>
        <h3>
          {attempt.attempt}. {ending?.word ?? "Calling now"}
        </h3>
        {leasedAt && (
          <p>
            <time dateTime={leasedAt.toISOString()}>{exactTime(leasedAt, viewerZone)}</time>
            {how(attempt)}
          </p>
        )}
        {attempt.failureReason !== "" && <p dir="auto">{attempt.failureReason}</p>}
        <p class="hint">
          <Tag name="Worker" value={attempt.workerId} />
          <Tag name="Error code" value={attempt.errorCode} />
          <Tag name="Provider's call" value={attempt.providerCallId} />
        </p>
      </div>
    </li>
  );
}

/** How long it took, and until when a worker has it. */
function how(attempt: Attempt): string {
  const expiresAt = dateOf(attempt.leaseExpiresAt);
  if (attempt.callDuration) return `, a call of ${duration(msOf(attempt.callDuration))}`;
  if (attempt.endedAt === undefined && expiresAt) {
    return `, leased to its worker until ${clockTime(expiresAt, viewerZone)}`;
  }
  return "";
}

const Tag = ({ name, value }: { name: string; value: string }) =>
  value === "" ? null : (
    <span class={css.tag}>
      {name} <bdi class="code">{value}</bdi>
    </span>
  );
