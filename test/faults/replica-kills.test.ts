import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { numbersTo } from "../support/look.ts";
import type { Replica } from "../support/replica.ts";
import { createInsist } from "./insist.ts";
import { lastOf, makeLargeJob, scheduleJobs, watchList } from "./jobs.ts";
import { sized } from "./scale.ts";
import { type System, settled } from "./system.ts";
import { useSystem } from "./use-system.ts";

const contacts = sized(300_000, 1_000_000);
const fanOutKills = sized(4, 100);
const dueRounds = sized(1, 10);
const killsPerRound = sized(3, 10);
const goesOnWithinMs = 10_000;

let system: System;
useSystem({ seed: 4 }, (started) => (system = started));

/** Kills a replica and brings it back beside what goes on. */
function createKiller() {
  const comingBack = new Set<Promise<void>>();
  return {
    async kill(replica: Replica): Promise<void> {
      await replica.kill();
      const back = replica.start().finally(() => comingBack.delete(back));
      comingBack.add(back);
    },
    allBack: () => Promise.all(comingBack),
  };
}

const say = (line: string) => void process.stderr.write(`${line}\n`);
const up = () => system.replicas.filter((replica) => replica.isUp());

test(
  `a list of ${contacts} contacts is exact and in order after ${fanOutKills} kills, and another replica goes on within 10 s of each`,
  async () => {
    const { replicas } = system;
    const random = system.randomOf("kills");
    const insist = createInsist(system);
    const killer = createKiller();
    const job = await makeLargeJob(system, contacts);
    const command = () => ({ requestId: randomUUID(), batchJobId: job.id });
    using list = watchList(system, job);

    // The replica that works on the fan-out is the one that appends to the list.
    let busy: Replica | undefined;
    const marks = [system.keys.position(job), system.keys.work];
    const isAppend = (request: string) => marks.every((mark) => request.includes(mark));
    for (const replica of replicas) {
      replica.redis.onRequest((request) => void (isAppend(request) && (busy = replica)));
    }
    let longestMs = 0;
    async function moved(from: string | null) {
      const began = performance.now();
      const position = await eventually(async () => {
        const now = await list.position();
        if (now === from) throw new Error(`the fan-out stands at ${from}`);
        return now;
      }, goesOnWithinMs);
      longestMs = Math.max(longestMs, performance.now() - began);
      return position;
    }

    const start = command();
    await insist("StartBatchJob", ({ jobs }, o) => jobs.startBatchJob(start, o));
    let complete = 0;
    for (let kills = 0; kills < fanOutKills;) {
      const position = await list.position();
      if (lastOf(position) < contacts) {
        await moved(position);
        await delay(random.between(0, 150));
        const victim = random.chance(0.8) ? busy : random.pick(replicas);
        if (victim?.isUp() === true && up().length > 1) {
          await killer.kill(victim);
          kills += 1;
        }
        continue;
      }
      expect(await list.order()).toEqual({ length: contacts, wrong: [] });
      complete += 1;
      // Each list is begun with somebody to spare.
      await killer.allBack();
      const [pause, resume] = [command(), command()];
      await insist("PauseBatchJob", ({ jobs }, o) => jobs.pauseBatchJob(pause, o));
      await insist("ResumeBatchJob", ({ jobs }, o) => jobs.resumeBatchJob(resume, o));
    }
    for (let position = await list.position(); lastOf(position) < contacts;) position = await moved(position);
    expect(await list.order()).toEqual({ length: contacts, wrong: [] });
    await killer.allBack();
    for (const replica of replicas) replica.redis.onRequest(undefined);
    const end = command();
    await insist("CancelBatchJob", ({ jobs }, o) => jobs.cancelBatchJob(end, o));
    say(
      `${fanOutKills} kills, ${complete + 1} whole lists of ${contacts}, longest pause ${longestMs / 1000} s`,
    );
    expect(await settled(system)).toEqual([]);
  },
  sized(180_000, 3_600_000),
);

test(
  `each of 200 due jobs starts once, within 10 s of the last kill, in ${dueRounds} rounds of ${killsPerRound} kills`,
  async () => {
    const { replicas } = system;
    const random = system.randomOf("kills");
    const insist = createInsist(system);
    const killer = createKiller();
    let longestMs = 0;
    for (let round = 0; round < dueRounds; round += 1) {
      const firstDueAt = performance.now() + 8_000;
      const ids = await scheduleJobs(insist, 200, { fromMs: 8_000, toMs: 10_000 });
      await delay(Math.max(0, firstDueAt - 1_000 - performance.now()));
      for (let kills = 0; kills < killsPerRound;) {
        await delay(random.between(0, 800));
        const victim = random.pick(replicas);
        if (!victim.isUp() || up().length < 2) continue;
        await killer.kill(victim);
        kills += 1;
      }
      const began = performance.now();
      await system.withDatabase((db) =>
        eventually(async () => {
          const waiting = await db
            .selectFrom("batch_jobs")
            .select("id")
            .where("status", "=", "scheduled")
            .execute();
          expect(waiting).toEqual([]);
        }, goesOnWithinMs),
      );
      longestMs = Math.max(longestMs, performance.now() - began);
      await killer.allBack();
      await system.withRedis((redis) =>
        eventually(async () => {
          const names = await redis.keys("*:contacts");
          const lists = await Promise.all(
            ids.map(async (id) => redis.lrange(names.find((name) => name.includes(id)) ?? "", 0, -1)),
          );
          expect(lists).toEqual(ids.map(() => numbersTo(3)));
        }, 20_000),
      );
      for (const batchJobId of ids) {
        const request = { requestId: randomUUID(), batchJobId };
        await insist("CancelBatchJob", ({ jobs }, o) => jobs.cancelBatchJob(request, o));
      }
    }
    say(
      `${dueRounds * killsPerRound} kills, ${dueRounds} × 200 due jobs, longest wait ${longestMs / 1000} s`,
    );
    expect(await settled(system)).toEqual([]);
    expect(system.badLogLines()).toEqual([]);
  },
  sized(120_000, 1_800_000),
);
