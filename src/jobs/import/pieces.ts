import type { Hash } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { badFile } from "../../files/bad-file.ts";

const pieceSize = 64 * 1024;

export type Limits = {
  /** A file that is larger is refused. */
  readonly maxBytes: number;
  /** One that takes longer to arrive, too. */
  readonly timeoutMs: number;
  /** And one of which nothing arrives for so long. */
  readonly idleMs: number;
  /** And one of which fewer bytes arrive in this time; what the service takes for itself does not count. */
  readonly least: { readonly bytes: number; readonly inMs: number };
};

/** At least 1 KiB a second, so that nobody holds a place for long with next to nothing. */
export const defaultLimits: Limits = {
  maxBytes: 1024 ** 3,
  timeoutMs: 3_600_000,
  idleMs: 30_000,
  least: { bytes: 60 * 1024, inMs: 60_000 },
};

/**
 * The file in pieces of 64 KiB, however it arrives: cut, or gathered. Between two of them others get their turn.
 * Refuses a file over its limits as soon as it is over them; what it throws also ends the source.
 */
export async function* inPieces(file: AsyncIterable<Uint8Array>, limits: Limits): AsyncGenerator<Buffer> {
  const deadline = performance.now() + limits.timeoutMs;
  let gathered: Uint8Array[] = [];
  let size = 0;
  let total = 0;
  for await (const bytes of inTime(file, deadline, limits)) {
    total += bytes.length;
    if (total > limits.maxBytes) {
      throw badFile(
        `The file is larger than ${limits.maxBytes} bytes; split it, or raise IMPORT_MAX_BYTES of the service.`,
        { maxBytes: String(limits.maxBytes) },
      );
    }
    gathered.push(bytes);
    size += bytes.length;
    if (size < pieceSize) continue;
    const whole = Buffer.concat(gathered, size);
    let cut = 0;
    for (; size - cut >= pieceSize; cut += pieceSize) {
      yield whole.subarray(cut, cut + pieceSize);
      await nextTurn();
    }
    gathered = cut < size ? [whole.subarray(cut)] : [];
    size -= cut;
  }
  if (size > 0) yield Buffer.concat(gathered, size);
}

/** The same pieces, noted in the hash. */
export async function* hashed(pieces: AsyncIterable<Buffer>, hash: Hash): AsyncGenerator<Buffer> {
  for await (const piece of pieces) {
    hash.update(piece);
    yield piece;
  }
}

async function* inTime(
  file: AsyncIterable<Uint8Array>,
  deadline: number,
  limits: Limits,
): AsyncGenerator<Uint8Array> {
  const source = file[Symbol.asyncIterator]();
  let isPending = false;
  let recent = { waitedMs: 0, bytes: 0 };
  try {
    for (;;) {
      const { promise: late, reject } = Promise.withResolvers<never>();
      const asked = performance.now();
      const { afterMs, sentence } = patience(deadline - asked, recent, limits);
      const timer = setTimeout(() => reject(badFile(sentence)), afterMs);
      try {
        isPending = true;
        const { done, value } = await Promise.race([source.next(), late]);
        isPending = false;
        if (done === true) return;
        recent = {
          waitedMs: recent.waitedMs + performance.now() - asked,
          bytes: recent.bytes + value.length,
        };
        if (recent.bytes >= limits.least.bytes) recent = { waitedMs: 0, bytes: 0 };
        yield value;
      } finally {
        clearTimeout(timer);
      }
    }
  } finally {
    // A source that is asked for more cannot be ended before it answers; nobody waits for that.
    if (!isPending) await source.return?.();
  }
}

/** For how long the next bytes are waited for, and what is said then. */
function patience(
  leftMs: number,
  recent: { waitedMs: number },
  { timeoutMs, idleMs, least }: Limits,
): { afterMs: number; sentence: string } {
  const slowMs = least.inMs - recent.waitedMs;
  const afterMs = Math.max(0, Math.min(leftMs, idleMs, slowMs));
  if (afterMs >= idleMs) {
    return {
      afterMs,
      sentence: `Nothing of the file arrived for ${idleMs / 1000} s; send it again without a pause.`,
    };
  }
  const sentence =
    slowMs < leftMs
      ? `Fewer than ${least.bytes} bytes of the file arrived in ${least.inMs / 1000} s; send it again without pauses.`
      : `The file did not arrive within ${timeoutMs / 1000} s; split it, or raise IMPORT_TIMEOUT of the service.`;
  return { afterMs, sentence };
}
