import { getHeapStatistics } from "node:v8";
import { BatchJobError } from "../../domain/batch-job-error.ts";
import { toConnectError } from "../errors.ts";
import { maxMessageBytes } from "../listener.ts";

/**
 * What all requests that are read or answered now hold, in bytes: bounded for the replica and for each organization.
 */
export type BytesInHand = {
  /** For one call; `organizationId` is asked once there are bytes, and undefined for callers without a key. */
  hold(organizationId: () => number | undefined): Hold;
};

export type Hold = {
  /** The call holds so many bytes from now on. Throws `unavailable` if that is large and more than may be held. */
  set(bytes: number): void;
  /** The call is over, and holds nothing any more, whatever is still set. */
  release(): void;
};

/** A request that is no larger passes whatever the others hold, so that reads, leases and reports always do. */
const smallBytes = 64 * 1024;

/** Their bytes lie beside the heap, and are memory like it. */
const mostBytes = 256 * 1024 * 1024;

/** Decoded, a request takes a few times its bytes; and the heap is for other things too. */
export const heapShare = () =>
  Math.min(mostBytes, Math.max(getHeapStatistics().heap_size_limit / 4, 2 * maxMessageBytes));

export function createBytesInHand(options: {
  maxBytes: number;
  onChange?: (bytes: number) => void;
}): BytesInHand {
  const { maxBytes, onChange } = options;
  const byOrganization = new Map<number | undefined, number>();
  let total = 0;

  function add(organizationId: number | undefined, bytes: number): void {
    total += bytes;
    const own = (byOrganization.get(organizationId) ?? 0) + bytes;
    if (own === 0) byOrganization.delete(organizationId);
    else byOrganization.set(organizationId, own);
    onChange?.(total);
  }

  return {
    hold(organizationId) {
      let held = 0;
      let isReleased = false;
      let holder: number | undefined;
      return {
        set(bytes) {
          if (isReleased) return;
          if (held === 0) holder = organizationId();
          const more = bytes - held;
          const own = byOrganization.get(holder) ?? 0;
          // Half, so that no organization can keep another one waiting.
          const isTooMuch = total + more > maxBytes || own + more > maxBytes / 2;
          if (more > 0 && bytes > smallBytes && isTooMuch) throw tooMuch();
          held = bytes;
          add(holder, more);
        },
        release() {
          isReleased = true;
          add(holder, -held);
          held = 0;
        },
      };
    },
  };
}

const tooMuch = () =>
  toConnectError(
    new BatchJobError(
      "unavailable",
      "The service has its hands full with large requests; try again in a moment, or send smaller ones.",
    ),
  );
