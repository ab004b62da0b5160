import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { readHeads } from "../../src/postgres/events/events.ts";
import { eventually } from "../support/eventually.ts";
import { differencesFromLog } from "../support/log-fold.ts";
import type { Random } from "../support/random.ts";
import { createInsist } from "./insist.ts";
import { sized } from "./scale.ts";
import { type System, settled } from "./system.ts";
import { useSystem } from "./use-system.ts";
import { startWorkers } from "./workers.ts";

/* The event log while everything that it depends on is killed. */

const writers = 50;
const readers = 6;
const rounds = sized(3, 20);

let system: System;
useSystem({ seed: 19 }, (started) => (system = started));

/** A command that may be refused, since others came before. */
const refusable = (work: Promise<unknown>) => work.catch(() => {});

type Reader = { readonly seen: bigint[]; lives: number; readonly ended: Promise<void> };

/** Follows the log on any replica, and is killed and comes back with its cursor, until it has all up to an end. */
function startReader(random: Random, end: Promise<bigint>): Reader {
  const seen: bigint[] = [];
  const until: { last?: bigint } = {};
  void end.then((head) => (until.last = head));
  const reader = { seen, lives: 0 };
  async function run(): Promise<void> {
    let afterSequence = 0n;
    while (until.last === undefined || afterSequence < until.last) {
      reader.lives += 1;
      const replica = random.pick(system.replicas);
      const signal = AbortSignal.timeout(random.between(100, 3_000));
      try {
        for await (const told of replica.clients.events.watchEvents({ afterSequence }, { signal })) {
          seen.push(...told.events.map(({ sequence }) => sequence));
          afterSequence = told.lastSequence;
          if (random.chance(0.02) || afterSequence === until.last) break;
        }
      } catch {
        await delay(20);
      }
    }
  }
  return Object.assign(reader, { ended: run() });
}

test(
  "every reader has every event once and in order, and the log alone tells what has become of each job",
  async () => {
    const insist = createInsist(system);
    const stop = new AbortController();
    const random = system.randomOf("faults");
    const end = Promise.withResolvers<bigint>();
    const following = Array.from({ length: readers }, (_, i) =>
      startReader(system.randomOf(`reader ${i}`), end.promise),
    );

    async function write(i: number): Promise<void> {
      const own = system.randomOf(`writer ${i}`);
      while (!stop.signal.aborted) {
        const contacts = Array.from({ length: own.between(1, 4) }, (_, n) => ({
          phone: `+1415${5_000_000 + n}`,
        }));
        const asked = {
          requestId: randomUUID(),
          name: "Followed",
          fromPhoneNumberId: "pn_1",
          contacts,
          maxAttempts: 1,
          ...(own.chance(0.3) ? { scheduledStartTime: new Date(Date.now() + 2_000).toISOString() } : {}),
        };
        const create = insist("CreateBatchJob", ({ jobs }, o) => jobs.createBatchJob(asked, o));
        // Its time may be past when it gets through.
        const created = await create.catch(() => undefined);
        if (created === undefined) continue;
        const { batchJobId } = created;
        const command = () => ({ requestId: randomUUID(), batchJobId });
        if (own.chance(0.8)) {
          const start = command();
          await refusable(insist("StartBatchJob", ({ jobs }, o) => jobs.startBatchJob(start, o)));
        }
        if (own.chance(0.3)) {
          const [pause, resume] = [command(), command()];
          await refusable(insist("PauseBatchJob", ({ jobs }, o) => jobs.pauseBatchJob(pause, o)));
          await refusable(insist("ResumeBatchJob", ({ jobs }, o) => jobs.resumeBatchJob(resume, o)));
        }
        if (own.chance(0.2)) {
          const cancel = command();
          await refusable(insist("CancelBatchJob", ({ jobs }, o) => jobs.cancelBatchJob(cancel, o)));
        }
      }
    }

    const writing = Promise.all(Array.from({ length: writers }, (_, i) => write(i)));
    const workers = startWorkers(system, insist, { count: 4, errs: true });
    for (let round = 0; round < rounds; round += 1) {
      await delay(1_500);
      const { postgres, redis } = system.servers;
      await postgres.kill();
      await delay(random.between(0, 500));
      await postgres.start();
      await delay(1_500);
      await redis.kill();
      await redis.start();
      const victim = random.pick(system.replicas);
      await victim.kill();
      await victim.start();
    }
    stop.abort();
    await writing;
    await workers[Symbol.asyncDispose]();

    const { organizationId, head } = await system.withDatabase(async (db) => {
      const { id } = await db.selectFrom("organizations").select("id").executeTakeFirstOrThrow();
      // What nobody reports on runs out, and what waits for a time comes.
      await eventually(async () => {
        expect(await db.selectFrom("leases").select("number").execute()).toEqual([]);
        const scheduled = db.selectFrom("batch_jobs").select("id").where("status", "=", "scheduled");
        expect(await scheduled.execute()).toEqual([]);
      }, 60_000);
      expect(await differencesFromLog(db, id)).toEqual([]);
      const heads = await readHeads(db, [id]);
      return { organizationId: id, head: heads.get(id)?.sequence ?? 0 };
    });
    end.resolve(BigInt(head));
    await Promise.all(following.map(({ ended }) => ended));
    const whole = Array.from({ length: head }, (_, i) => BigInt(i + 1));
    for (const { seen } of following) expect(seen.slice(0, head)).toEqual(whole);
    expect(organizationId).toBeGreaterThan(0);
    const lives = following.map((reader) => reader.lives);
    process.stderr.write(`${head} events, readers with ${lives.join(", ")} lives\n`);
    expect(await settled(system)).toEqual([]);
    expect(system.badLogLines()).toEqual([]);
  },
  sized(240_000, 1_800_000),
);
