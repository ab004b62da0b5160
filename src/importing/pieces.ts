import { setImmediate as nextTurn } from "node:timers/promises";
import { badFile } from "./bad-file.ts";

const pieceSize = 64 * 1024;

export type Limits = {
  /** A file that is larger is refused. */
  readonly maxBytes: number;
  /** One that takes longer to arrive, too. */
  readonly timeoutMs: number;
  /** And one of which nothing arrives for so long. */
  readonly idleMs: number;
};

export const defaultLimits: Limits = { maxBytes: 1024 ** 3, timeoutMs: 3_600_000, idleMs: 30_000 };

/**
 * The file in pieces of 64 KiB, however it arrives: cut, or gathered. Between two of them others get their turn. Refuses
 * a file over its limits as soon as it is over them; what it throws also ends the source.
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

async function* inTime(
  file: AsyncIterable<Uint8Array>,
  deadline: number,
  { idleMs, timeoutMs }: Limits,
): AsyncGenerator<Uint8Array> {
  const source = file[Symbol.asyncIterator]();
  let isPending = false;
  try {
    for (;;) {
      const left = deadline - performance.now();
      const { promise: late, reject } = Promise.withResolvers<never>();
      const sentence =
        left < idleMs
          ? `The file did not arrive within ${timeoutMs / 1000} s; split it, or raise IMPORT_TIMEOUT of the service.`
          : `Nothing of the file arrived for ${idleMs / 1000} s; send it again without a pause.`;
      const timer = setTimeout(() => reject(badFile(sentence)), Math.max(0, Math.min(left, idleMs)));
      try {
        isPending = true;
        const { done, value } = await Promise.race([source.next(), late]);
        isPending = false;
        if (done === true) return;
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
