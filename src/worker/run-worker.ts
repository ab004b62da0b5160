import { randomUUID } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { hostname } from "node:os";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { coalesce } from "../timing/coalesce.ts";
import { Outcome } from "../gen/callsheet/v1/batch_job_pb.ts";
import {
  CheckedLease_State,
  type ContactWorkerService,
  type LeaseContactsRequestSchema,
  type LeasedContact,
} from "../gen/callsheet/v1/contact_worker_service_pb.ts";
import { type CallResult, toReport } from "./call-result.ts";
import { insist } from "./insist.ts";
import { type KeptLease, createLeaseKeeper, mostAtOnce } from "./kept-leases.ts";

export type { CallResult } from "./call-result.ts";

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
  /**
   * How long a lease lasts without a word from this worker; 2 minutes if not given. It is extended while a call runs.
   * When the service is away for longer than that, calls are lost.
   */
  readonly leaseDurationMs?: number;
  /** Told of every failed request to the service; the worker tries again by itself. */
  readonly onError?: (error: ConnectError) => void;
};

const longestWaitMs = 30_000;
/** A request without an answer for so long, its wait aside, is repeated. */
const answerWithinMs = 30_000;
/** What a worker that ends spends on giving back what was on its way to it. */
const giveBackWithinMs = 5_000;

/**
 * Until when the call must begin, reckoned as if the lease had been opened when it was asked for: no clock is compared
 * with another, and nobody is called after their hours.
 */
function lastDialMs(
  { callBefore, leaseExpiresAt }: LeasedContact,
  askedAtMs: number,
  leaseMs: number,
): number {
  if (callBefore === undefined || leaseExpiresAt === undefined) return Infinity;
  return askedAtMs + timestampMs(callBefore) - (timestampMs(leaseExpiresAt) - leaseMs);
}

/**
 * Leases contacts, calls them, reports the outcomes and leases the next ones with that, until its signal aborts. While
 * the service is away it tries again, ever less often, and calls go on as long as their leases are sure to last. A
 * contact whose `call_before` has passed is not called, and goes back. A request that can never succeed, such as one
 * with a wrong key, makes it throw once its calls have ended; it leases nothing any more by then, and a call whose
 * lease it cannot extend is lost when that lease runs out.
 */
export async function runWorker(options: WorkerOptions): Promise<void> {
  const { client, call, concurrency, onError } = options;
  const broken = new AbortController();
  const signal = AbortSignal.any([options.signal, broken.signal]);
  const workerId = options.workerId ?? `${hostname()}-${process.pid}`;
  const leaseDurationMs = options.leaseDurationMs ?? 2 * 60_000;
  const calls = new Set<Promise<void>>();
  const callEnds = new EventEmitter();
  await using keeper = createLeaseKeeper({
    client,
    leaseDurationMs,
    onRefused: (error) => broken.abort(error),
    onError,
  });

  const asking = () => ({
    workerId,
    requestId: randomUUID(),
    leaseDuration: durationFromMs(leaseDurationMs),
    batchJobIds: options.batchJobIds ?? [],
  });

  type Report = ReturnType<typeof toReport>;

  /** Reports calls that have ended, and has as many others leased in their place, which begin before these are over. */
  async function reportSome(outcomes: readonly Report[]): Promise<void> {
    // Each try is the same, and so takes over what an earlier one has leased.
    const leaseNext = signal.aborted ? {} : { leaseNext: { ...asking(), maxContacts: outcomes.length } };
    const request = { outcomes: [...outcomes], ...leaseNext };
    const askedAtMs = performance.now();
    const tell = () => client.reportOutcomes(request, { timeoutMs: answerWithinMs });
    const { contacts } = await insist(tell, { onError });
    await beginAll(contacts, askedAtMs).catch(() => giveBack(contacts));
  }

  /** One outcome that the service refuses keeps no other back. */
  async function reportAll(outcomes: readonly Report[]): Promise<void> {
    try {
      await reportSome(outcomes);
    } catch (error) {
      if (outcomes.length === 1 || ConnectError.from(error).code !== Code.InvalidArgument) {
        return broken.abort(error);
      }
      const half = Math.ceil(outcomes.length / 2);
      await reportAll(outcomes.slice(0, half));
      await reportAll(outcomes.slice(half));
    }
  }

  const report = coalesce<Report, true>(async (ended) => {
    await reportAll(ended);
    return ended.map(() => true);
  }, mostAtOnce);

  /** How the call went, or nothing if its lease was lost and nothing is known that the service does not know. */
  async function reportOf(contact: LeasedContact, lost: AbortSignal): Promise<Report | undefined> {
    try {
      return toReport(contact, await call(contact, lost));
    } catch (error) {
      if (lost.aborted) return undefined;
      const failureReason = error instanceof Error ? error.message : "";
      return toReport(contact, { outcome: Outcome.FAILED, failureReason });
    }
  }

  async function work(contact: LeasedContact, lease: KeptLease, dialByMs: number): Promise<void> {
    try {
      const isLate = performance.now() >= dialByMs;
      const ended = isLate
        ? toReport(contact, { outcome: Outcome.NOT_DIALED })
        : await reportOf(contact, lease.lost);
      lease.callEnded();
      if (ended !== undefined) await report(ended);
    } finally {
      lease.letGo();
    }
  }

  function begin(contact: LeasedContact, openedAtMs: number, dialByMs: number): void {
    const working = work(contact, keeper.keep(contact.leaseId, openedAtMs), dialByMs)
      .catch((error: unknown) => broken.abort(error))
      .finally(() => {
        calls.delete(working);
        callEnds.emit("end");
      });
    calls.add(working);
  }

  /** Calls these contacts, whose leases were opened after this time, unless the worker ends. */
  async function beginAll(leased: readonly LeasedContact[], askedAtMs: number): Promise<void> {
    let contacts = leased;
    let openedAtMs = askedAtMs;
    let haveWaited = false;
    while (contacts.length > 0 && performance.now() - openedAtMs > leaseDurationMs / 3) {
      haveWaited = true;
      const leaseIds = contacts.map(({ leaseId }) => leaseId);
      const sure = await insist(() => keeper.extend(leaseIds), { onError, until: signal });
      contacts = contacts.filter(({ leaseId }) => sure.extended.has(leaseId));
      openedAtMs = sure.askedAtMs;
    }
    if (haveWaited) contacts = await checkedAgain(contacts);
    signal.throwIfAborted();
    for (const contact of contacts) {
      begin(contact, openedAtMs, lastDialMs(contact, askedAtMs, leaseDurationMs));
    }
  }

  /**
   * As they may be called after a wait: their jobs may end sooner now. Gives those back whose phones were suppressed
   * meanwhile.
   */
  async function checkedAgain(contacts: readonly LeasedContact[]): Promise<readonly LeasedContact[]> {
    if (contacts.length === 0) return contacts;
    const leaseIds = contacts.map(({ leaseId }) => leaseId);
    const check = () =>
      client.checkLeases({ leaseIds }, { timeoutMs: answerWithinMs }).catch((error: unknown) => {
        // A service of before knows of no suppressed phones.
        if (ConnectError.from(error).code === Code.Unimplemented) return { leases: [] };
        throw error;
      });
    const { leases } = await insist(check, { onError, until: signal });
    const checked = new Map(leases.map((lease) => [lease.leaseId, lease]));
    const isSuppressed = ({ leaseId }: LeasedContact) =>
      checked.get(leaseId)?.state === CheckedLease_State.SUPPRESSED;
    await giveBack(contacts.filter(isSuppressed));
    return contacts
      .filter((contact) => !isSuppressed(contact))
      .map((contact) => {
        const { callBefore = contact.callBefore } = checked.get(contact.leaseId) ?? {};
        return callBefore === undefined ? contact : { ...contact, callBefore };
      });
  }

  /** Gives back what was leased for a worker that ends; what cannot be given back runs out. */
  async function giveBack(contacts: readonly LeasedContact[]): Promise<void> {
    if (contacts.length === 0) return;
    const until = AbortSignal.timeout(giveBackWithinMs);
    const leaseIds = contacts.map(({ leaseId }) => leaseId);
    await insist(() => client.releaseLeases({ leaseIds }, { signal: until }), { until }).catch(() => {});
  }

  /** Gives back what a request was answered too late for, or was answered with while nobody listened any more. */
  async function giveUp(request: MessageInitShape<typeof LeaseContactsRequestSchema>): Promise<void> {
    const until = AbortSignal.timeout(giveBackWithinMs);
    await giveBack((await client.leaseContacts(request, { signal: until })).contacts);
  }

  async function leaseSome(): Promise<void> {
    const waitMs = Math.min(longestWaitMs, Math.floor(leaseDurationMs / 4));
    const request = {
      ...asking(),
      maxContacts: Math.min(concurrency - calls.size, mostAtOnce),
      wait: durationFromMs(waitMs),
    };
    const leaseOptions = { signal, timeoutMs: waitMs + answerWithinMs };
    try {
      // The leases may have been opened by the first of several tries.
      const askedAtMs = performance.now();
      const lease = () => client.leaseContacts(request, leaseOptions);
      const { contacts } = await insist(lease, { onError, until: signal });
      await beginAll(contacts, askedAtMs);
    } catch (error) {
      // A service that is away has nothing to take back.
      if (signal.aborted) await giveUp({ ...request, wait: {} }).catch(() => {});
      throw error;
    }
  }

  try {
    while (!signal.aborted) {
      if (calls.size < concurrency) await leaseSome();
      else await once(callEnds, "end");
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    await Promise.all(calls);
  }
  broken.signal.throwIfAborted();
}
