import { QueryClient, type QueryKey, QueryObserver, keepPreviousData } from "@tanstack/query-core";
import { useEffect, useState } from "preact/hooks";
import { type Refusal, refusalOf } from "../service/refusal.ts";

const longestPauseMs = 4_000;

/** What has been loaded: a view that is opened again shows it at once, and what is new a moment later. */
export const loaded = new QueryClient({
  defaultOptions: {
    queries: {
      // While the service is away, or too busy, it is asked again; any other refusal is shown and not repeated.
      retry: (_, error) => refusalOf(error).isPassing,
      retryDelay: (failures) => Math.min(250 * 2 ** failures, longestPauseMs) * (0.5 + Math.random() / 2),
      networkMode: "always",
      refetchOnWindowFocus: false,
      structuralSharing: false,
    },
  },
});

/** What was loaded last, which stays while the next is on its way, and why the last try was refused. */
export type Loaded<T> = {
  readonly data: T | undefined;
  readonly refusal: Refusal | undefined;
  /** True while what is shown is that of another key. */
  readonly isStale: boolean;
};

/** Loads whenever the key changes, and, while the page is seen, every `everyMs`, where that is given. */
export function useLoad<T>(
  key: QueryKey,
  load: (signal: AbortSignal) => Promise<T>,
  everyMs?: (data: T | undefined) => number | undefined,
): Loaded<T> {
  const options = {
    queryKey: key,
    queryFn: ({ signal }: { signal: AbortSignal }) => load(signal),
    refetchInterval: (query: { state: { data: T | undefined } }) => everyMs?.(query.state.data) ?? false,
    placeholderData: keepPreviousData as never,
  };
  const [observer] = useState(() => new QueryObserver<T, Error, T, T>(loaded, options));
  const [, setTold] = useState(0);
  useEffect(() => observer.subscribe(() => setTold((before) => before + 1)), []);
  useEffect(() => observer.setOptions(options));
  const { data, error, isPending, isPlaceholderData } = observer.getOptimisticResult(
    loaded.defaultQueryOptions(options),
  );
  return {
    data,
    refusal: error === null ? undefined : refusalOf(error),
    isStale: isPending || isPlaceholderData,
  };
}
