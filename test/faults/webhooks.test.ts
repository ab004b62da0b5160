import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { readLog } from "../support/log-fold.ts";
import { sequencesIn, startInbox } from "../webhooks/inbox.ts";
import { createInsist } from "./insist.ts";
import { sized } from "./scale.ts";
import { type System, settled } from "./system.ts";
import { useSystem } from "./use-system.ts";
import { startWorkers } from "./workers.ts";

/* Webhooks while whoever delivers them is killed. */

const rounds = sized(1, 5);
const goesOnWithinMs = 10_000;

let system: System;
useSystem(
  { seed: 23, settings: () => ({ WEBHOOK_ALLOW_INSECURE: "true" }) },
  (started) => (system = started),
);

test(
  `every event comes to an endpoint, what comes twice is the same, and another replica goes on within 10 s of a kill`,
  async () => {
    await using inbox = await startInbox();
    const random = system.randomOf("answers");
    inbox.answerWith(() => (random.chance(0.05) ? 500 : 200));
    const insist = createInsist(system);
    const asked = { requestId: randomUUID(), url: inbox.url };
    const { webhookEndpoint } = await insist("CreateWebhookEndpoint", ({ webhooks }, o) =>
      webhooks.createWebhookEndpoint(asked, o),
    );
    const webhookEndpointId = webhookEndpoint?.webhookEndpointId ?? "";
    const stop = new AbortController();
    async function write(): Promise<void> {
      while (!stop.signal.aborted) {
        const contacts = Array.from({ length: 20 }, (_, i) => ({ phone: `+1415${5_000_000 + i}` }));
        const job = {
          requestId: randomUUID(),
          name: "Told",
          fromPhoneNumberId: "pn_1",
          contacts,
          maxAttempts: 1,
        };
        const { batchJobId } = await insist("CreateBatchJob", ({ jobs }, o) => jobs.createBatchJob(job, o));
        const start = { requestId: randomUUID(), batchJobId };
        await insist("StartBatchJob", ({ jobs }, o) => jobs.startBatchJob(start, o));
      }
    }
    const writing = Promise.all([write(), write()]);
    const workers = startWorkers(system, insist, { count: 4, errs: true });
    await eventually(() => expect(inbox.received.length).toBeGreaterThan(10), 30_000);

    let longestMs = 0;
    for (let round = 0; round < rounds; round += 1) {
      for (const replica of system.replicas) {
        await replica.kill();
        const [began, count] = [performance.now(), inbox.received.length];
        await eventually(() => expect(inbox.received.length).toBeGreaterThan(count + 1), 30_000);
        longestMs = Math.max(longestMs, performance.now() - began);
        await replica.start();
      }
      await system.servers.postgres.kill();
      await system.servers.postgres.start();
    }
    stop.abort();
    await writing;
    await workers[Symbol.asyncDispose]();
    inbox.answerWith(() => 200);

    await system.withDatabase(async (db) => {
      const { id } = await db.selectFrom("organizations").select("id").executeTakeFirstOrThrow();
      const toldOf = async () => {
        const log = await readLog(db, id);
        const made = log.find(({ type }) => type === "webhook_endpoint.created")?.sequence ?? 0;
        return log.map(({ sequence }) => sequence).filter((sequence) => sequence >= made);
      };
      const told = await eventually(async () => {
        const due = { due_at: new Date(0) };
        await db.updateTable("webhook_deliveries").set(due).where("due_at", "is not", null).execute();
        // A lease that ends by itself is an event more.
        expect(await db.selectFrom("leases").select("number").execute()).toEqual([]);
        const all = await toldOf();
        const { webhookEndpoint: now } = await insist("GetWebhookEndpoint", ({ webhooks }, o) =>
          webhooks.getWebhookEndpoint({ webhookEndpointId }, o),
        );
        expect(now).toMatchObject({ behind: 0n, pendingDeliveries: 0, missedEvents: 0n });
        const [first = 0] = all;
        expect([...new Set(sequencesIn(inbox.received))].filter((one) => one >= first)).toEqual(all);
        return all;
      }, 90_000);
      expect(await toldOf()).toEqual(told);
      process.stderr.write(
        `${told.length} events in ${inbox.received.length} requests, longest silence ${Math.round(longestMs)} ms\n`,
      );
    });
    const bodies = new Map<string, string>();
    for (const { id, body } of inbox.received) {
      expect(bodies.get(id) ?? body).toBe(body);
      bodies.set(id, body);
    }
    expect(longestMs).toBeLessThan(goesOnWithinMs);
    expect(await settled(system)).toEqual([]);
    expect(system.badLogLines()).toEqual([]);
  },
  sized(240_000, 900_000),
);
