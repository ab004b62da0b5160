import { fromBinary } from "@bufbuild/protobuf";
import { type BatchJob, BatchJobSchema } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { inBase } from "../page/base.ts";
import { noteAnswer, noteNoAnswer } from "../service/connection.ts";
import { noteKeyRefused } from "../service/session.ts";
import { restWhenHidden } from "../page/visibility.ts";
import type { HubEvent, Told } from "./hub.ts";
import type { FromPage } from "./shared.ts";

type Watcher = {
  readonly ids: ReadonlySet<string>;
  readonly onJob: (job: BatchJob) => void;
  /** The job is there no more. */
  readonly onGone: (id: string) => void;
};

const watchers = new Set<Watcher>();
const aliveMs = 20_000;

/** Says which jobs this page watches. */
type Say = (ids: readonly string[]) => void;

/** What follows them is shared by all pages of the browser, where the browser can do that. */
function connect(): Say {
  if (typeof SharedWorker !== "function") return alone();
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port has none
  const post = (message: FromPage) => worker.port.postMessage(message);
  let send: Say = (ids) => post({ ids });
  const worker = new SharedWorker(new URL("./shared.ts", import.meta.url), { type: "module" });
  worker.port.addEventListener("message", ({ data }: MessageEvent<HubEvent>) => hear(data));
  worker.port.start();
  setInterval(() => post({}), aliveMs);
  worker.addEventListener("error", () => {
    send = alone();
    update();
  });
  addEventListener("pagehide", () => send([]));
  addEventListener("pageshow", ({ persisted }) => persisted && update());
  return (ids) => send(ids);
}

/** By itself where it cannot: what is for that is loaded then. */
function alone(): Say {
  const baseUrl = new URL(inBase(""), location.href).href.replace(/\/$/, "");
  const loading = Promise.all([import("./hub.ts"), import("./open.ts")]);
  const hub = loading.then(([{ createHub }, { openerAt }]) => createHub(openerAt(baseUrl)));
  return (ids) => void hub.then((made) => made.watch(watchers, ids, hear), reportError);
}

function hear(event: HubEvent): void {
  switch (event.kind) {
    case "heard":
      return noteAnswer();
    case "away":
      return noteNoAnswer();
    case "key refused":
      return noteKeyRefused();
    case "gone":
      for (const { ids, onGone } of watchers) if (ids.has(event.id)) onGone(event.id);
      return;
    case "jobs":
      for (const told of event.jobs) hearOf(told);
  }
}

function hearOf({ id, bytes }: Told): void {
  const interested = [...watchers].filter(({ ids }) => ids.has(id));
  if (interested.length === 0) return;
  const job = fromBinary(BatchJobSchema, bytes);
  for (const { onJob } of interested) onJob(job);
}

let say: Say | undefined;
let isResting = false;

function update(): void {
  const ids = isResting ? [] : [...new Set([...watchers].flatMap((watcher) => [...watcher.ids]))];
  if (say === undefined && ids.length === 0) return;
  say ??= connect();
  say(ids);
}

function rest(is: { resting: boolean }): void {
  isResting = is.resting;
  update();
}

restWhenHidden(
  () => rest({ resting: true }),
  () => rest({ resting: false }),
);

/** Follows the jobs until the signal aborts. */
export function watchJobs(
  ids: readonly string[],
  told: Pick<Watcher, "onJob" | "onGone">,
  signal: AbortSignal,
): void {
  const watcher = { ids: new Set(ids), ...told };
  watchers.add(watcher);
  signal.addEventListener("abort", () => {
    watchers.delete(watcher);
    update();
  });
  update();
}
