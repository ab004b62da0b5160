import { setTimeout as delay } from "node:timers/promises";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type Client, ConnectError } from "@connectrpc/connect";
import type { ContactWorkerService } from "../gen/callsheet/v1/contact_worker_service_pb.ts";
import { isHopeless } from "./insist.ts";

/** As many leases, contacts or outcomes as one request may have. */
export const mostAtOnce = 1_000;

/** A lease that is extended until it is let go. */
export type KeptLease = {
  /**
   * Aborts when the service says that the lease is gone, and also when it may be as far as is known here: its time is
   * over, and no extension was confirmed.
   */
  readonly lost: AbortSignal;
  /** Nobody has to be told any more if the lease is lost. */
  callEnded(): void;
  letGo(): void;
};

export type LeaseKeeper = AsyncDisposable & {
  /** Keeps a lease that was opened or extended by a request of this time, as `performance.now()` told it, or later. */
  keep(leaseId: string, askedAtMs: number): KeptLease;
  /** Extends leases once; answers those that are still there, and when this was asked for. */
  extend(leaseIds: readonly string[]): Promise<{ askedAtMs: number; extended: ReadonlySet<string> }>;
};

type Kept = { lost: AbortController; timer?: NodeJS.Timeout };

/**
 * Extends leases after each third of their duration, at most `mostAtOnce` in a request; what becomes of one request
 * does not touch the others. The end of a lease is reckoned from before its request was sent, so it is never later
 * than the service's, and no clock is compared with another.
 */
export function createLeaseKeeper(options: {
  readonly client: Client<typeof ContactWorkerService>;
  readonly leaseDurationMs: number;
  /** Told of a request that can never succeed. Its leases run out if no later one does. */
  readonly onRefused: (error: ConnectError) => void;
  /** Told of a request that failed and is repeated soon. */
  readonly onError: ((error: ConnectError) => void) | undefined;
}): LeaseKeeper {
  const { client, leaseDurationMs, onRefused, onError } = options;
  const intervalMs = Math.floor(leaseDurationMs / 3);
  const leaseDuration = durationFromMs(leaseDurationMs);
  const kept = new Map<string, Kept>();
  const over = new AbortController();

  async function extend(leaseIds: readonly string[]) {
    const askedAtMs = performance.now();
    const { leases } = await client.extendLeases(
      { leaseIds: [...leaseIds], leaseDuration },
      { timeoutMs: intervalMs, signal: over.signal },
    );
    const live = leases.filter(({ leaseExpiresAt }) => leaseExpiresAt !== undefined);
    return { askedAtMs, extended: new Set(live.map(({ leaseId }) => leaseId)) };
  }

  function prolong(lease: Kept, askedAtMs: number): void {
    clearTimeout(lease.timer);
    lease.timer = setTimeout(
      () => lease.lost.abort(),
      Math.max(0, askedAtMs + leaseDurationMs - performance.now()),
    );
  }

  /** True unless it is worth while to try again soon. */
  async function extendSome(leaseIds: readonly string[]): Promise<boolean> {
    try {
      const { askedAtMs, extended } = await extend(leaseIds);
      for (const leaseId of leaseIds) {
        const lease = kept.get(leaseId);
        if (lease === undefined) continue;
        if (extended.has(leaseId)) prolong(lease, askedAtMs);
        else lease.lost.abort();
      }
      return true;
    } catch (thrown) {
      const error = ConnectError.from(thrown);
      if (over.signal.aborted) return true;
      if (isHopeless(error)) onRefused(error);
      else onError?.(error);
      return isHopeless(error);
    }
  }

  async function extendAll(): Promise<boolean> {
    const leaseIds = [...kept.keys()];
    const parts: Promise<boolean>[] = [];
    for (let at = 0; at < leaseIds.length; at += mostAtOnce) {
      parts.push(extendSome(leaseIds.slice(at, at + mostAtOnce)));
    }
    return (await Promise.all(parts)).every(Boolean);
  }

  async function extendInTime(): Promise<void> {
    for (let nextAtMs = performance.now() + intervalMs; ;) {
      await delay(Math.max(0, nextAtMs - performance.now()), undefined, { signal: over.signal });
      const beganAtMs = performance.now();
      const isDone = await extendAll();
      nextAtMs = isDone ? beganAtMs + intervalMs : performance.now() + intervalMs / 4;
    }
  }

  const extending = extendInTime().catch((error: unknown) => {
    if (!over.signal.aborted) onRefused(ConnectError.from(error));
  });

  return {
    extend,
    keep(leaseId, askedAtMs) {
      const lease: Kept = { lost: new AbortController() };
      kept.set(leaseId, lease);
      prolong(lease, askedAtMs);
      return {
        lost: lease.lost.signal,
        callEnded: () => void (lease.lost = new AbortController()),
        letGo() {
          clearTimeout(lease.timer);
          kept.delete(leaseId);
        },
      };
    },
    async [Symbol.asyncDispose]() {
      over.abort();
      await extending;
    },
  };
}
