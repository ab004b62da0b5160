import { type Duration, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { Limiter } from "../../access/rates.ts";
import { wrongField } from "../../domain/batch-job-error.ts";
import type { ReportedOutcome } from "../../domain/contacts/contact.ts";
import {
  CheckedLease_State as State,
  type ContactWorkerService,
  type LeaseContactsRequest,
  RecordedOutcome_Result as Result,
} from "../../gen/callsheet/v1/contact_worker_service_pb.ts";
import type { Lease } from "../../leasing/lease-round.ts";
import type { FollowStarts } from "../../leasing/lease-traces.ts";
import type { Leasing } from "../../leasing/leasing.ts";
import type { Recorder, Report } from "../../leasing/recorder.ts";
import {
  at,
  readDuration,
  protoContactStatuses,
  protoReportedOutcomes,
  readReportedOutcomes,
} from "../convert/convert.ts";
import { deliveryOf } from "../calls/delivery.ts";
import { callerOf } from "../gate/gate.ts";
import { traceOf } from "../calls/tracing.ts";

const defaultLeaseMs = 2 * 60_000;

/** A duration that may be left out. */
const readOne = <T>(field: string, duration: Duration | undefined, otherwise: T): number | T =>
  duration === undefined ? otherwise : readDuration(field, duration);

/** What LeaseContacts and `lease_next` ask for alike; `path` is where it stands in its request. */
const readRequest = (path: string, request: LeaseContactsRequest) => ({
  workerId: request.workerId,
  requestId: request.requestId,
  maxContacts: request.maxContacts,
  durationMs: readOne(`${path}lease_duration`, request.leaseDuration, defaultLeaseMs),
  jobIds: request.batchJobIds,
});

/** Reports are not held up. */
function checkNoWait({ wait }: LeaseContactsRequest): void {
  if (readOne("lease_next.wait", wait, 0) === 0) return;
  throw wrongField(
    "lease_next.wait",
    "ReportOutcomes does not wait; leave it out, and call LeaseContacts with wait if the answer has no contacts",
  );
}

/** Converts, calls, converts: what each RPC does is in src/leasing. */
export function contactWorkerService(
  leasing: Leasing,
  recorder: Recorder,
  options: {
    longestWaitMs?: number;
    followStarts?: FollowStarts;
    /** Leases that come with reports are not limited without it. */
    limiter?: Pick<Limiter, "mayCall">;
  } = {},
): ServiceImpl<typeof ContactWorkerService> {
  const { longestWaitMs = Infinity, followStarts, limiter } = options;

  /** The leases as contacts of an answer; those whose answer is not written are released. */
  async function give(leases: readonly Lease[], context: HandlerContext) {
    const { organizationId } = callerOf(context);
    deliveryOf(context.values).onFailure(() => recorder.takeBack(organizationId, leases));
    const trace = traceOf(context);
    if (trace !== undefined && leases.length > 0) {
      const jobIds = leases.map(({ jobId }) => jobId);
      await followStarts?.(trace, organizationId, jobIds);
    }
    return leases.map((lease) => ({
      leaseId: lease.leaseId,
      batchJobId: lease.jobId,
      number: lease.number,
      phone: lease.phone,
      name: lease.name,
      fields: lease.fields,
      fromPhoneNumberId: lease.fromPhoneNumberId,
      attempt: lease.attempt,
      maxAttempts: lease.maxAttempts,
      leaseExpiresAt: timestampFromDate(lease.expiresAt),
      ...at("callBefore", lease.callBefore),
      ...(trace !== undefined && { traceparent: trace.traceparent }),
    }));
  }

  return {
    async leaseContacts(request, context) {
      const leases = await leasing.lease({
        ...readRequest("", request),
        caller: callerOf(context),
        waitMs: Math.min(readOne("wait", request.wait, 0), longestWaitMs),
        signal: context.signal,
      });
      const contacts = await give(leases, context);
      // Whoever has left is not answered with nothing, as if the wait were over.
      if (contacts.length === 0) context.signal.throwIfAborted();
      return { contacts };
    },

    async extendLeases(request, context) {
      const ends = await leasing.extend(
        callerOf(context),
        request.leaseIds,
        readOne("lease_duration", request.leaseDuration, defaultLeaseMs),
      );
      return {
        leases: request.leaseIds.map((leaseId, i) => ({
          leaseId,
          ...at("leaseExpiresAt", ends[i] ?? null),
        })),
      };
    },

    async checkLeases(request, context) {
      const found = await leasing.check(callerOf(context), request.leaseIds);
      return {
        leases: request.leaseIds.map((leaseId, i) => {
          const lease = found[i];
          if (lease === undefined) return { leaseId, state: State.GONE };
          const state = lease.isSuppressed ? State.SUPPRESSED : State.LIVE;
          return {
            leaseId,
            state,
            leaseExpiresAt: timestampFromDate(lease.expiresAt),
            ...at("callBefore", lease.callBefore),
          };
        }),
      };
    },

    async releaseLeases(request, context) {
      const released = await recorder.release(callerOf(context).organizationId, request.leaseIds);
      return {
        leases: request.leaseIds.map((leaseId, i) => ({
          leaseId,
          released: released[i] ?? false,
        })),
      };
    },

    async reportOutcomes(request, context) {
      const reports = request.outcomes.map((reported, i): Report => {
        const [outcome = "unknown" satisfies ReportedOutcome] = readReportedOutcomes([reported.outcome]);
        const { leaseId, errorCode, failureReason, providerCallId, callDuration } = reported;
        const callDurationMs = readOne(`outcomes[${i}].call_duration`, callDuration, null);
        return {
          leaseId,
          outcome,
          details: { errorCode, failureReason, callDurationMs, providerCallId },
        };
      });
      const trace = traceOf(context);
      if (trace !== undefined) {
        for (const from of new Set(request.outcomes.map(({ traceparent = "" }) => traceparent)))
          trace.follows(from);
      }
      const { leaseNext } = request;
      if (leaseNext !== undefined) checkNoWait(leaseNext);
      const next = leaseNext && {
        ...readRequest("lease_next.", leaseNext),
        signal: context.signal,
        isLimited: (await limiter?.mayCall(callerOf(context), "lease")) === false,
      };
      const { results, leases } = await leasing.report(callerOf(context), reports, next);
      return {
        contacts: await give(leases, context),
        outcomes: request.outcomes.map(({ leaseId }, i) => {
          const result = results[i];
          if (result === undefined || result.kind === "gone") {
            return { leaseId, result: Result.LEASE_EXPIRED };
          }
          return {
            leaseId,
            result: result.kind === "recorded" ? Result.RECORDED : Result.ALREADY_RECORDED,
            outcome: protoReportedOutcomes[result.outcome],
            contactStatus: protoContactStatuses[result.contactStatus],
            ...at("nextAttemptAt", result.nextAttemptAt),
          };
        }),
      };
    },
  };
}
