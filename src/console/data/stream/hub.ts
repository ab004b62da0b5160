import { toBinary } from "@bufbuild/protobuf";
import { BatchJobSchema } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { type Follower, follow } from "./follow.ts";

/** What a page is told of the jobs that it watches. */
export type HubEvent =
  | { readonly kind: "job"; readonly id: string; readonly bytes: Uint8Array }
  | { readonly kind: "gone"; readonly id: string }
  | { readonly kind: "heard" }
  | { readonly kind: "away" }
  | { readonly kind: "key refused" };

type Tell = (event: HubEvent) => void;
type Member = { readonly ids: ReadonlySet<string>; readonly tell: Tell };

/** As many jobs as one stream may have. */
const mostIds = 1_000;
/** Views that open together ask together. */
const gatherMs = 20;

/**
 * Follows the jobs that anybody watches over one stream for all; over more only where they are more than a stream may
 * have.
 */
export function createHub(open: Follower["open"]) {
  const members = new Map<object, Member>();
  /** By the ids that they follow. */
  const streams = new Map<string, AbortController>();
  /** The last word on each job that is watched, for whoever comes later. */
  const latest = new Map<string, HubEvent>();
  let timer: ReturnType<typeof setTimeout> | undefined;

  const tellAll: Tell = (event) => {
    for (const { tell } of members.values()) tell(event);
  };
  const tellWatchers = (id: string, event: HubEvent) => {
    for (const { ids, tell } of members.values()) if (ids.has(id)) tell(event);
  };

  function followerOf(stop: AbortController): Follower {
    let isHeard = false;
    return {
      open,
      onHeard() {
        if (!isHeard) tellAll({ kind: "heard" });
        isHeard = true;
      },
      onJob(job) {
        const event = { kind: "job", id: job.batchJobId, bytes: toBinary(BatchJobSchema, job) } as const;
        latest.set(event.id, event);
        tellWatchers(event.id, event);
      },
      onBroken({ isAway }) {
        isHeard = false;
        if (isAway) tellAll({ kind: "away" });
      },
      onRefused({ reason, batchJobId }) {
        stop.abort();
        if (reason === "invalid_api_key") return tellAll({ kind: "key refused" });
        if (batchJobId === "") return;
        for (const [key, { ids, tell }] of members) {
          if (!ids.has(batchJobId)) continue;
          const left = new Set(ids);
          left.delete(batchJobId);
          members.set(key, { ids: left, tell });
          tell({ kind: "gone", id: batchJobId });
        }
        arrangeSoon();
      },
    };
  }

  function arrange(): void {
    const ids = [...new Set([...members.values()].flatMap((member) => [...member.ids]))].toSorted();
    const watched = new Set(ids);
    for (const id of latest.keys()) if (!watched.has(id)) latest.delete(id);
    const wanted = new Map<string, readonly string[]>();
    for (let from = 0; from < ids.length; from += mostIds) {
      const some = ids.slice(from, from + mostIds);
      wanted.set(some.join(), some);
    }
    for (const [key, stop] of streams) {
      if (wanted.has(key) && !stop.signal.aborted) continue;
      stop.abort();
      streams.delete(key);
    }
    for (const [key, some] of wanted) {
      if (streams.has(key)) continue;
      const stop = new AbortController();
      streams.set(key, stop);
      void follow(some, followerOf(stop), stop.signal);
    }
  }

  function arrangeSoon(): void {
    timer ??= setTimeout(() => {
      timer = undefined;
      arrange();
    }, gatherMs);
  }

  return {
    /** From now on the member watches these jobs and no others. */
    watch(member: object, ids: readonly string[], tell: Tell): void {
      const before = members.get(member)?.ids;
      members.set(member, { ids: new Set(ids), tell });
      for (const id of ids) {
        const known = before?.has(id) === true ? undefined : latest.get(id);
        if (known !== undefined) tell(known);
      }
      arrangeSoon();
    },
    leave(member: object): void {
      members.delete(member);
      arrangeSoon();
    },
  };
}
