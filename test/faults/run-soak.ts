import { setTimeout as delay } from "node:timers/promises";
import { differencesFromLog } from "../support/log-fold.ts";
import { startLoad } from "./load.ts";
import { type Violation, countUnavailable } from "./oracle.ts";
import { createFaults } from "./random-faults.ts";
import { startReceivers } from "./receivers.ts";
import { type System, settled, startSystem } from "./system.ts";

const everyMs = 10_000;

type Usage = { minute: number; megabytes: number; handles: number };
type Report = { violations: Violation[]; badLogLines: string[] };

/** Where the first replica's memory and open files stand; it is never restarted. */
async function measure({ replicas }: System, minute: number): Promise<Usage> {
  const [replica] = replicas;
  if (replica === undefined) throw new Error("there is no replica");
  return { minute, ...(await replica.usage()) };
}

/**
 * Runs the load and the faults for so long, then the oracle. The seed decides every choice, though not every instant.
 */
export async function runSoak(options: {
  minutes: number;
  seed: number;
  /** How many jobs there are at a time, and how many workers. */
  campaigns: number;
  workers: number;
  print: (line: string) => void;
}): Promise<Report> {
  const { minutes, seed, campaigns, workers, print } = options;
  print(`soak of ${minutes} minutes, seed ${seed}`);
  await using system = await startSystem({ seed, settings: () => ({ WEBHOOK_ALLOW_INSECURE: "true" }) });
  const { history } = system;
  await using receivers = await startReceivers(system);
  const random = system.randomOf("faults");
  const faults = createFaults(system, random);
  const inflicted = new Map<string, number>();
  const usages: Usage[] = [];
  const began = performance.now();
  const sinceMs = () => performance.now() - began;
  {
    await using load = startLoad(system, { campaigns, workers, mostContacts: 30, errs: true });
    while (sinceMs() < minutes * 60_000) {
      const nextMs = sinceMs() + everyMs;
      usages.push(await measure(system, sinceMs() / 60_000));
      const fault = random.pick(faults);
      print(
        `${(sinceMs() / 1000).toFixed(0).padStart(5)} s  ${fault.name}  (${load.finished()} jobs over, ${load.calls()} calls)`,
      );
      await fault.inflict();
      inflicted.set(fault.name, (inflicted.get(fault.name) ?? 0) + 1);
      await delay(Math.max(0, nextMs - sinceMs()));
    }
    print("no more faults; the load comes to its end");
  }
  usages.push(await measure(system, sinceMs() / 60_000));
  // Whoever has not caught up by then is told of by the oracle, event by event.
  await receivers.catchUp(120_000).catch((error: unknown) => print(String(error)));
  const violations = await settled(system);
  for (const replica of system.replicas) {
    // What a replica had counted before it was killed is in its log.
    const deadlocks = await replica.metric("callsheet_deadlocks_total");
    if (deadlocks > 0) violations.push({ rule: "no deadlocks", detail: `${deadlocks} on ${replica.name}` });
  }
  const untold = await system.withDatabase(async (db) => {
    const { id } = await db.selectFrom("organizations").select("id").executeTakeFirstOrThrow();
    return await differencesFromLog(db, id);
  });
  for (const detail of untold) violations.push({ rule: "the event log tells all", detail });
  const badLogLines = system.badLogLines();

  const ends = Map.groupBy(history.tried, ({ end }) => end);
  const jobs = new Set(history.told.flatMap((one) => ("jobId" in one ? [one.jobId] : [])));
  print(
    `jobs: ${jobs.size}; calls of the API: ${[...ends].map(([end, tries]) => `${tries.length} ${end}`).join(", ")}`,
  );
  for (const [why, count] of countUnavailable(history)) print(`unavailable ${count} times: ${why}`);
  print(`contacts held by workers: ${history.held.length}`);
  print(`outcomes reported: ${history.told.filter(({ kind }) => kind === "reported").length}`);
  const sent = history.endpoints.map(({ name, received }) => {
    const taken = received.filter(({ isTaken }) => isTaken).length;
    return `${name} ${taken} of ${received.length}`;
  });
  print(`requests to webhooks that were taken: ${sent.join("; ")}`);
  print(`faults: ${[...inflicted].map(([name, count]) => `${count} × ${name}`).join("; ")}`);
  print("| minute | memory of the first replica, MB | its open files and sockets |");
  print("|---|---|---|");
  const step = Math.max(1, Math.floor(usages.length / 12));
  for (const { minute, megabytes, handles } of usages.filter(
    (_, i) => i % step === 0 || i === usages.length - 1,
  )) {
    print(`| ${minute.toFixed(1)} | ${megabytes} | ${handles} |`);
  }
  for (const { rule, detail } of violations) print(`BROKEN: ${rule}: ${detail}`);
  for (const line of badLogLines) print(`LOGGED: ${line}`);
  print(violations.length + badLogLines.length === 0 ? "the oracle finds nothing broken" : "BROKEN");
  return { violations, badLogLines };
}
