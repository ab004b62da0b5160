import { toBinary } from "@bufbuild/protobuf";
import { type BatchJob, BatchJobSchema } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { type Follower, follow } from "./follow.ts";
import { mostIds } from "./limits.ts";

/** What a page is told of the jobs that it watches. */
export type HubEvent =
  | { readonly kind: "jobs"; readonly jobs: readonly Told[] }
  | { readonly kind: "gone"; readonly id: string }
  | { readonly kind: "heard" }
  | { readonly kind: "away" }
  | { readonly kind: "key refused" };

export type Told = { readonly id: string; readonly bytes: Uint8Array };

type Tell = (event: HubEvent) => void;
type Member = { readonly ids: ReadonlySet<string>; readonly tell: Tell };

/** Views that open together ask together. */
const gatherMs = 20;
/** Of jobs that change all the time pages are told so often, the last word on all of them together. */
const paceMs = 1_000;

/**
 * Follows the jobs that anybody watches over one stream for all; over more only where they are more than a stream may
 * have.
 */
export function createHub(open: Follower["open"]) {
  const members = new Map<object, Member>();
  /** By the ids that they follow. */
  const streams = new Map<string, AbortController>();
  /** The last word on each job that is watched, for whoever comes later. */
  const latest = new Map<string, Told>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  /** What has come since pages were told last. */
  const untold = new Map<string, BatchJob>();
  let telling: ReturnType<typeof setTimeout> | undefined;
  let toldMs = -paceMs;

  const tellAll: Tell = (event) => {
    for (const { tell } of members.values()) tell(event);
  };
  const tellOf = (jobs: readonly Told[], { ids, tell }: Member) => {
    const watched = jobs.filter(({ id }) => ids.has(id));
    if (watched.length > 0) tell({ kind: "jobs", jobs: watched });
  };

  function tellUntold(): void {
    telling = undefined;
    toldMs = performance.now();
    const jobs = [...untold].map(([id, job]) => ({ id, bytes: toBinary(BatchJobSchema, job) }));
    untold.clear();
    for (const told of jobs) latest.set(told.id, told);
    for (const member of members.values()) tellOf(jobs, member);
  }

  function followerOf(stop: AbortController): Follower {
    let isHeard = false;
    return {
      open,
      onHeard() {
        if (!isHeard) tellAll({ kind: "heard" });
        isHeard = true;
      },
      onJob(job) {
        untold.set(job.batchJobId, job);
        telling ??= setTimeout(tellUntold, Math.max(0, toldMs + paceMs - performance.now()));
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
    for (const known of [latest, untold])
      for (const id of known.keys()) if (!watched.has(id)) known.delete(id);
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
      const now = { ids: new Set(ids), tell };
      members.set(member, now);
      tellOf(
        [...latest.values()].filter(({ id }) => before?.has(id) !== true),
        now,
      );
      arrangeSoon();
    },
    leave(member: object): void {
      members.delete(member);
      arrangeSoon();
    },
  };
}
