// What the console takes of the machine that it is looked at on: node bench/console.ts [--minutes 2] [--list-minutes
// 2] [--contacts 100000] [--rows 1000]. The built console (npm run build) in a Chromium without a screen: first the
// page of a job with so many contacts that is being worked, then a list of so many jobs that all are. It prints the
// processor time of all of the browser's processes, how long the page's own thread was busy, and the page's heap
// after a collection, from the beginning to each of the minutes that are given, as in --minutes 1,5,10.
import { openAsBlob } from "node:fs";
import { readFile, readdir } from "node:fs/promises";
import { loadavg } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { createClient } from "@connectrpc/connect";
import { type CDPSession, type Page, chromium } from "playwright-core";
import { ContactWorkerService } from "../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { runWorker } from "../src/worker/run-worker.ts";
import { simulatedDialer } from "../src/worker/simulated-dialer.ts";
import { findChromium } from "../test/support/servers/chromium.ts";
import { batchesOf, writeCsv } from "./contacts.ts";
import { type FreshService, startFreshService } from "./fresh-service.ts";
import { cpuSecondsOf } from "./measure.ts";

const { values: given } = parseArgs({
  options: {
    /** How long the page of the job is looked at. */
    minutes: { type: "string", default: "2" },
    /** How long the list is. */
    "list-minutes": { type: "string", default: "2" },
    contacts: { type: "string", default: "100000" },
    rows: { type: "string", default: "1000" },
  },
});
const msOf = (minutes: string): number[] => minutes.split(",").map((each) => Number(each) * 60_000);
const contacts = Number(given.contacts);
const rows = Number(given.rows);
/** What is loaded and drawn first is not what is measured. */
const settleMs = 15_000;

const headers = (service: FreshService) => ({ authorization: `Bearer ${service.apiKey}` });

/** Calls of up to 2 s in the background, so many at once. */
function startCalls(service: FreshService, concurrency: number): AsyncDisposable {
  const stop = new AbortController();
  const working = runWorker({
    client: createClient(ContactWorkerService, service.transport),
    concurrency,
    call: simulatedDialer({ seed: 1, longestMs: 2_000 }),
    signal: stop.signal,
  });
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await working;
    },
  };
}

const settings = { fromPhoneNumberId: "pn_1", concurrentCallLimit: 100 };

/** A job of so many contacts that is running. */
async function startLargeJob(service: FreshService): Promise<string> {
  const { batchJobId } = await service.client.createBatchJob({ ...settings, name: "Large" });
  await using csv = await writeCsv(contacts);
  const response = await fetch(`${service.httpUrl}/batch-jobs/${batchJobId}/contacts.csv`, {
    method: "POST",
    headers: headers(service),
    body: await openAsBlob(csv.file),
  });
  if (!response.ok) throw new Error(`the file was not taken: ${await response.text()}`);
  await service.client.startBatchJob({ batchJobId });
  return batchJobId;
}

/** As many running jobs as the list has rows, each with contacts for a while. */
async function startManyJobs(service: FreshService): Promise<void> {
  const batches = batchesOf(rows * 50, 50);
  const work = async () => {
    for (const batch of batches) {
      const { batchJobId } = await service.client.createBatchJob({
        ...settings,
        name: `Job of ${batch[0]?.phone ?? ""}`,
        contacts: batch.map(({ phone, name }) => ({ phone, name })),
      });
      await service.client.startBatchJob({ batchJobId });
    }
  };
  await Promise.all(Array.from({ length: 8 }, work));
}

/** A process and all that it has begun. */
async function familyOf(pid: number): Promise<number[]> {
  const all = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const parents = await Promise.all(
    all.map(async (each) => {
      const stat = await readFile(`/proc/${each}/stat`, "utf8").catch(() => "");
      return Number(/\) \S (\d+)/.exec(stat)?.[1] ?? 0);
    }),
  );
  const family = [pid];
  for (const member of family) family.push(...all.filter((_, i) => parents[i] === member));
  return family;
}

/** What each of the browser's processes has used, by what it is for. */
async function browserSeconds(pid: number): Promise<Map<string, number>> {
  const used = new Map<string, number>();
  for (const each of await familyOf(pid)) {
    const [command, seconds] = await Promise.all([
      readFile(`/proc/${each}/cmdline`, "utf8").catch(() => ""),
      cpuSecondsOf(each).catch(() => 0),
    ]);
    const kind =
      /--utility-sub-type=(\w+)/.exec(command)?.[1] ?? /--type=([\w-]+)/.exec(command)?.[1] ?? "main";
    used.set(kind, (used.get(kind) ?? 0) + seconds);
  }
  return used;
}

const sum = (used: Map<string, number>): number => [...used.values()].reduce((all, each) => all + each, 0);

async function look(cdp: CDPSession, pid: number) {
  await cdp.send("HeapProfiler.collectGarbage");
  const { metrics } = await cdp.send("Performance.getMetrics");
  const metric = (name: string) => metrics.find((each) => each.name === name)?.value ?? 0;
  return {
    at: performance.now(),
    cpu: await browserSeconds(pid),
    thread: metric("TaskDuration"),
    heap: metric("JSHeapUsedSize") / 1e6,
  };
}

/** What the page takes from now on, at each of these times from now. */
async function measure(name: string, page: Page, pid: number, marksMs: readonly number[]): Promise<void> {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Performance.enable");
  await delay(settleMs);
  const load = loadavg()[0] ?? 0;
  const first = await look(cdp, pid);
  for (const markMs of marksMs) {
    await delay(first.at + markMs - performance.now());
    print(name, first, await look(cdp, pid), load);
  }
}

type Look = Awaited<ReturnType<typeof look>>;

function print(name: string, first: Look, last: Look, load: number): void {
  const seconds = (last.at - first.at) / 1_000;
  const ofCore = (used: number) => `${((100 * used) / seconds).toFixed(1)} % of a core`;
  const parts = [...last.cpu].map(([kind, used]) => [kind, used - (first.cpu.get(kind) ?? 0)] as const);
  const line = [
    `${name}, ${Math.round(seconds)} s`,
    `the browser ${ofCore(sum(last.cpu) - sum(first.cpu))}`,
    `of it ${parts
      .filter(([, used]) => used > seconds / 1_000)
      .map(([kind, used]) => `${kind} ${((100 * used) / seconds).toFixed(1)}`)
      .join(", ")}`,
    `the page's thread ${ofCore(last.thread - first.thread)}`,
    `heap ${first.heap.toFixed(1)} MB, then ${last.heap.toFixed(1)} MB`,
    `load ${load.toFixed(1)}`,
  ].join("; ");
  process.stdout.write(`${line}\n`);
}

await using service = await startFreshService();
const { executablePath, env } = await findChromium();
const server = await chromium.launchServer({
  executablePath,
  env,
  args: ["--disable-gpu", "--no-first-run"],
});
const browser = await chromium.connect(server.wsEndpoint());
try {
  const pid = server.process().pid ?? 0;
  const context = await browser.newContext({ viewport: { width: 1_280, height: 900 } });
  const url = new URL(service.httpUrl);
  const cookie = { name: "callsheet_session", value: service.apiKey, domain: url.hostname, path: "/" };
  await context.addCookies([{ ...cookie, httpOnly: true, sameSite: "Strict" }]);
  const page = await context.newPage();

  const batchJobId = await startLargeJob(service);
  const calls = startCalls(service, 100);
  try {
    await page.goto(new URL(`jobs/${batchJobId}`, url).href);
    await page.getByRole("heading", { name: "Outcomes" }).waitFor();
    await measure(`a job of ${contacts} contacts, live`, page, pid, msOf(given.minutes));
    await service.client.cancelBatchJob({ batchJobId });
    await startManyJobs(service);
    await page.goto(new URL(`jobs?size=${rows}`, url).href);
    await page.getByRole("row").nth(rows).waitFor();
    await measure(`a list of ${rows} jobs, live`, page, pid, msOf(given["list-minutes"]));
  } finally {
    await calls[Symbol.asyncDispose]();
  }
} finally {
  await browser.close();
  await server.close();
}
