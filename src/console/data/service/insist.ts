import { pauseBefore } from "../page/pause.ts";
import { refusalOf } from "./refusal.ts";

/** Repeats a call that is safe to repeat while that may help; its last failure is thrown after `tries`. */
export async function insist<T>(
  call: () => Promise<T>,
  { tries, signal = new AbortController().signal }: { tries: number; signal?: AbortSignal },
): Promise<T> {
  for (let failures = 0; ; failures++) {
    try {
      return await call();
    } catch (error) {
      if (!refusalOf(error).isPassing || failures + 1 >= tries || signal.aborted) throw error;
      await pauseBefore(failures, signal);
      if (signal.aborted) throw error;
    }
  }
}
