import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Outcome } from "../gen/callsheet/v1/batch_job_pb.ts";
import type { LeasedContact } from "../gen/callsheet/v1/contact_worker_service_pb.ts";

/** How a call went. Texts are cut to what the service keeps, and an outcome that it does not know is a failed one. */
export type CallResult = {
  readonly outcome: Outcome;
  readonly errorCode?: string;
  readonly failureReason?: string;
  readonly callDurationMs?: number;
  readonly providerCallId?: string;
  /** W3C's `traceparent` of the call's own span; that of its lease if not given. */
  readonly traceparent?: string;
};

const knownOutcomes: ReadonlySet<Outcome> = new Set(Object.values(Outcome));
export const longestCallMs = 86_400_000;

const cut = (text: string, length: number): string => Array.from(text).slice(0, length).join("");

/**
 * The result as the service takes it: without control characters, but for tab and line feed in the reason, and nothing
 * too long. Otherwise one odd result would keep the others from being reported.
 */
export function toReport(lease: Pick<LeasedContact, "leaseId" | "traceparent">, result: CallResult) {
  const traceparent = result.traceparent ?? lease.traceparent;
  const { errorCode = "", failureReason = "", providerCallId = "", callDurationMs } = result;
  const isKnown = result.outcome !== Outcome.UNSPECIFIED && knownOutcomes.has(result.outcome);
  return {
    leaseId: lease.leaseId,
    ...(traceparent !== undefined && { traceparent }),
    outcome: isKnown ? result.outcome : Outcome.FAILED,
    errorCode: cut(errorCode.replace(/[\p{Cc}\p{Cs}]/gu, " "), 128),
    failureReason: cut(failureReason.replace(/[^\P{Cc}\t\n]|\p{Cs}/gu, " "), 1_000),
    providerCallId: cut(providerCallId.replace(/[\p{Cc}\p{Cs}]/gu, " "), 128),
    ...(Number.isFinite(callDurationMs)
      ? { callDuration: durationFromMs(Math.min(Math.max(0, Number(callDurationMs)), longestCallMs)) }
      : {}),
  };
}
