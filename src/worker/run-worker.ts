import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { coalesce } from "../coalesce.ts";
import { Outcome } from "../gen/callsheet/v1/batch_job_pb.ts";
import type {
  ContactWorkerService,
  LeasedContact,
  RecordedOutcome,
} from "../gen/callsheet/v1/contact_worker_service_pb.ts";

/** How a call went. Texts are cut to what the service keeps, and an outcome that it does not know is a failed one. */
export type CallResult = {
  readonly outcome: Outcome;
  readonly errorCode?: string;
  readonly failureReason?: string;
  readonly callDurationMs?: number;
  readonly providerCallId?: string;
};

/**
 * Places one call and resolves when it has ended. The signal aborts if the lease is lost: hang up then, since another
 * worker may call the same person. What it throws is reported as OUTCOME_FAILED, unless the lease is lost.
 */
export type PlaceCall = (contact: LeasedContact, signal: AbortSignal) => Promise<CallResult>;

export type WorkerOptions = {
  readonly client: Client<typeof ContactWorkerService>;
  readonly call: PlaceCall;
  /** At most so many calls at once. */
  readonly concurrency: number;
  /** Ends the worker: it leases no more, lets its calls end, reports them, and resolves. */
  readonly signal: AbortSignal;
  /** Names the worker in the history of attempts; host and process id if not given. */
  readonly workerId?: string;
  /** Only contacts of these jobs; all jobs if not given. */
  readonly batchJobIds?: string[];
  /** How long a lease lasts without a word from this worker; 2 minutes if not given. It is extended while a call runs. */
  readonly leaseDurationMs?: number;
  /** Told of every failed request to the service; the worker tries again by itself. */
  readonly onError?: (error: ConnectError) => void;
};

type Active = { readonly contact: LeasedContact; readonly lost: AbortController };

const longestWaitMs = 30_000;
const firstPauseMs = 250;
const longestPauseMs = 10_000;

/** These come from the worker's own configuration; trying again does not help. */
const hopeless: ReadonlySet<Code> = new Set([
  Code.Unauthenticated,
  Code.PermissionDenied,
  Code.InvalidArgument,
]);

const cut = (text: string, length: number): string => Array.from(text).slice(0, length).join("");

const knownOutcomes: ReadonlySet<Outcome> = new Set(Object.values(Outcome));
const longestCallMs = 86_400_000;

/**
 * The result as the service takes it: without control characters, but for tab and line feed in the reason, and nothing too
 * long. Otherwise one odd result would keep the others from being reported.
 */
function toReport(leaseId: string, result: CallResult) {
  const { errorCode = "", failureReason = "", providerCallId = "", callDurationMs } = result;
  const isKnown = result.outcome !== Outcome.UNSPECIFIED && knownOutcomes.has(result.outcome);
  return {
    leaseId,
    outcome: isKnown ? result.outcome : Outcome.FAILED,
    errorCode: cut(errorCode.replace(/[\p{Cc}\p{Cs}]/gu, " "), 128),
    failureReason: cut(failureReason.replace(/[^\P{Cc}\t\n]|\p{Cs}/gu, " "), 1_000),
    providerCallId: cut(providerCallId.replace(/[\p{Cc}\p{Cs}]/gu, " "), 128),
    ...(Number.isFinite(callDurationMs)
      ? { callDuration: durationFromMs(Math.min(Math.max(0, Number(callDurationMs)), longestCallMs)) }
      : {}),
  };
}

/**
 * Leases contacts, calls them, and reports the outcomes, until its signal aborts. While the service is away it tries
 * again, ever less often; a request that can never succeed, such as one with a wrong key, makes it throw.
 */
export async function runWorker(options: WorkerOptions): Promise<void> {
  const { client, call, concurrency } = options;
  const broken = new AbortController();
  const signal = AbortSignal.any([options.signal, broken.signal]);
  const workerId = options.workerId ?? `${hostname()}-${process.pid}`;
  const leaseDurationMs = options.leaseDurationMs ?? 2 * 60_000;
  const leaseDuration = durationFromMs(leaseDurationMs);
  const active = new Map<string, Active>();
  const calls = new Set<Promise<void>>();

  /** Repeats a request that is safe to repeat until it succeeds, or until `until` aborts. */
  async function insist<T>(request: () => Promise<T>, until?: AbortSignal): Promise<T> {
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
      try {
        return await request();
      } catch (thrown) {
        const error = ConnectError.from(thrown);
        if (until?.aborted || hopeless.has(error.code)) throw error;
        options.onError?.(error);
        await delay(pauseMs * (0.5 + Math.random()), undefined, until === undefined ? {} : { signal: until });
      }
    }
  }

  const report = coalesce<{ leaseId: string; result: CallResult }, RecordedOutcome>(async (ended) => {
    const outcomes = ended.map(({ leaseId, result }) => toReport(leaseId, result));
    return (await insist(() => client.reportOutcomes({ outcomes }))).outcomes;
  }, 1_000);

  async function work(contact: LeasedContact): Promise<void> {
    const { leaseId } = contact;
    const lost = new AbortController();
    active.set(leaseId, { contact, lost });
    let result: CallResult;
    try {
      result = await call(contact, lost.signal);
    } catch (error) {
      // The service has ended this attempt by itself, and nothing is known that it does not know.
      if (lost.signal.aborted) return;
      const failureReason = error instanceof Error ? error.message : "";
      result = { outcome: Outcome.FAILED, failureReason };
    } finally {
      active.delete(leaseId);
    }
    await report({ leaseId, result });
  }

  /** Extends the leases of running calls, and aborts the calls whose lease is gone. */
  async function extendAll(): Promise<void> {
    const leaseIds = [...active.keys()];
    if (leaseIds.length === 0) return;
    const { leases } = await client.extendLeases({ leaseIds, leaseDuration });
    for (const { leaseId, leaseExpiresAt } of leases) {
      if (leaseExpiresAt === undefined) active.get(leaseId)?.lost.abort();
    }
  }

  async function leaseSome(): Promise<void> {
    const requestId = randomUUID();
    const request = {
      workerId,
      requestId,
      maxContacts: Math.min(concurrency - calls.size, 1_000),
      wait: durationFromMs(longestWaitMs),
      leaseDuration,
      batchJobIds: options.batchJobIds ?? [],
    };
    const { contacts } = await insist(() => client.leaseContacts(request, { signal }), signal);
    for (const contact of contacts) {
      const working = work(contact)
        .catch((error: unknown) => broken.abort(error))
        .finally(() => calls.delete(working));
      calls.add(working);
    }
  }

  const extending = setInterval(() => {
    extendAll().catch((error: unknown) => options.onError?.(ConnectError.from(error)));
  }, leaseDurationMs / 3);
  try {
    while (!signal.aborted) {
      if (calls.size < concurrency) await leaseSome();
      else await Promise.race(calls);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    await Promise.all(calls);
    clearInterval(extending);
  }
  broken.signal.throwIfAborted();
}
