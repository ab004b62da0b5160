import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { DatabaseSync } from "node:sqlite";
import { Client } from "pg";
import { afterAll, describe, expect, test } from "vitest";
import { createClients } from "../src/client/clients.ts";
import { createEmptyDatabase } from "./support/database.ts";
import { eventually } from "./support/eventually.ts";
import { readDocument, root } from "./support/readme.ts";
import { startTestService } from "./support/service.ts";

/* The programs of docs/webhooks.md, as they are written there. */

const { code } = readDocument("docs/webhooks.md");
const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());
const service = stack.use(
  await startTestService({ webhookPolicy: { allowInsecure: true, allowedNetworks: undefined } }),
);
const { jobs, worker, events, webhooks } = createClients({ url: service.grpcUrl, apiKey: service.apiKey });

const hasPython = spawnSync("python3", ["-c", "import sqlite3"]).status === 0;
const patienceMs = 60_000;
const timeout = 180_000;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

/** A directory in which a file of TypeScript finds what it finds in a clone. */
async function makeClone(files: Record<string, string>): Promise<string> {
  const clone = await mkdtemp(join(tmpdir(), "callsheet-webhooks-"));
  stack.defer(() => rm(clone, { recursive: true, force: true }));
  for (const name of ["src", "node_modules", "package.json"])
    await symlink(join(root, name), join(clone, name));
  for (const [name, text] of Object.entries(files)) await writeFile(join(clone, name), text);
  return clone;
}

async function makeEndpoint(port: number) {
  const { webhookEndpoint, secret } = await webhooks.createWebhookEndpoint({
    url: `http://127.0.0.1:${port}/hooks`,
  });
  const webhookEndpointId = webhookEndpoint?.webhookEndpointId ?? "";
  return { webhookEndpointId, secret };
}

/** A job with as many calls, each of which is reported. */
async function runJob(contacts: number): Promise<void> {
  const { batchJobId } = await jobs.createBatchJob({
    name: "Told of",
    fromPhoneNumberId: "pn_1",
    contacts: Array.from({ length: contacts }, (_, i) => ({ phone: `+1415${5_000_000 + i}` })),
    concurrentCallLimit: 50,
    maxAttempts: 1,
  });
  await jobs.startBatchJob({ batchJobId });
  for (let reported = 0; reported < contacts;) {
    const leased = await worker.leaseContacts({ workerId: "w", maxContacts: 7, wait: { seconds: 5n } });
    await worker.reportOutcomes({
      outcomes: leased.contacts.map(({ leaseId }) => ({ leaseId, outcome: 1 })),
    });
    reported += leased.contacts.length;
  }
}

/** The numbers of all events in the log after one of them. */
async function numbersAfter(afterSequence: bigint): Promise<number[]> {
  const page = await events.listEvents({ afterSequence, pageSize: 1_000 });
  return page.events.map(({ sequence }) => Number(sequence));
}

/** Sends what its signature does not fit, and answers what comes back. */
async function sendForged(port: number): Promise<number> {
  const headers = {
    "webhook-id": "msg_forged",
    "webhook-timestamp": String(Math.floor(Date.now() / 1_000)),
    "webhook-signature": `v1,${"A".repeat(43)}=`,
  };
  const body = JSON.stringify({ type: "x", data: { sequence: "999999" } });
  return (await fetch(`http://127.0.0.1:${port}/hooks`, { method: "POST", headers, body })).status;
}

/** Waits until a receiver is there; what failed meanwhile is sent at once, and not in five minutes. */
async function untilUp(port: number, webhookEndpointId: string): Promise<void> {
  await eventually(async () => expect(await sendForged(port)).toBe(400), patienceMs);
  for (const enabled of [false, true])
    await webhooks.updateWebhookEndpoint({ webhookEndpointId, settings: { enabled } });
}

describe("the receiver in TypeScript", () => {
  test(
    "keeps each event once, however often it is killed, takes nothing forged, and fills what is missing",
    { timeout },
    async () => {
      const own = stack.use(await createEmptyDatabase());
      const client = new Client({ connectionString: own.url });
      await client.connect();
      stack.defer(() => client.end());
      await client.query(code("## In TypeScript", "sql"));
      const port = await freePort();
      const clone = await makeClone({
        "receive.ts": code("## In TypeScript", "ts").replace("3000", String(port)),
        "fill.ts": code("## What is missing", "ts").replace("http://127.0.0.1:50051", service.grpcUrl),
      });
      const { secret, webhookEndpointId } = await makeEndpoint(port);
      const first =
        (await webhooks.getWebhookEndpoint({ webhookEndpointId })).webhookEndpoint?.sequence ?? 0n;
      const env = {
        PATH: process.env["PATH"],
        KEY: service.apiKey,
        OWN_DATABASE_URL: own.url,
        WEBHOOK_SECRET: secret,
      };
      const start = () => {
        const child = spawn(process.execPath, ["receive.ts"], { cwd: clone, env, stdio: "ignore" });
        stack.defer(() => kill(child));
        return child;
      };
      const kept = async (): Promise<number[]> => {
        const { rows } = await client.query("select sequence from callsheet_events order by sequence");
        return rows.map(({ sequence }) => Number(sequence));
      };

      const receiver = start();
      await untilUp(port, webhookEndpointId);
      await runJob(100);
      await eventually(async () => expect(await kept()).not.toEqual([]), patienceMs);
      await kill(receiver);
      await runJob(60);
      const second = start();
      await untilUp(port, webhookEndpointId);
      await eventually(async () => expect(await kept()).toEqual(await numbersAfter(first)), patienceMs);
      await webhooks.sendTestEvent({ webhookEndpointId });
      await webhooks.replayEvents({ webhookEndpointId, fromSequence: first + 1n });
      await eventually(async () => {
        const { webhookDeliveries } = await webhooks.listWebhookDeliveries({ webhookEndpointId });
        expect(webhookDeliveries.map(({ status }) => status)).toContain(2);
        expect(webhookDeliveries.filter(({ status }) => status !== 2)).toEqual([]);
      }, patienceMs);
      expect(await kept()).toEqual(await numbersAfter(first));

      await kill(second);
      await runJob(20);
      await client.query("delete from callsheet_events where sequence % 3 = 0");
      const fill = await promisify(execFile)(process.execPath, ["fill.ts"], { cwd: clone, env });
      expect(fill).toEqual({ stdout: expect.stringMatching(/^[1-9]\d* events were missing\n/), stderr: "" });
      expect(await kept()).toEqual(await numbersAfter(0n));
      await webhooks.deleteWebhookEndpoint({ webhookEndpointId });
    },
  );
});

describe("the receiver in Python", () => {
  test.skipIf(!hasPython)(
    "keeps each event once, however often it is killed, and takes nothing forged (needs python3)",
    { timeout },
    async () => {
      const port = await freePort();
      const clone = await makeClone({
        "receive.py": code("## In Python", "python").replace("3001", String(port)),
      });
      const { secret, webhookEndpointId } = await makeEndpoint(port);
      const first =
        (await webhooks.getWebhookEndpoint({ webhookEndpointId })).webhookEndpoint?.sequence ?? 0n;
      const env = { PATH: process.env["PATH"], WEBHOOK_SECRET: secret };
      const start = () => {
        const child = spawn("python3", ["receive.py"], { cwd: clone, env, stdio: "ignore" });
        stack.defer(() => kill(child));
        return child;
      };
      const kept = (): number[] => {
        const db = new DatabaseSync(join(clone, "events.sqlite"), { readOnly: true });
        const rows = db.prepare("select sequence from events order by sequence").all();
        db.close();
        return rows.map(({ sequence }) => Number(sequence));
      };

      const receiver = start();
      await untilUp(port, webhookEndpointId);
      await runJob(100);
      await eventually(() => expect(kept()).not.toEqual([]), patienceMs);
      await kill(receiver);
      await runJob(60);
      // For a day both sign.
      const rotated = await webhooks.rotateWebhookSecret({ webhookEndpointId });
      expect(rotated.secret).not.toBe(secret);
      start();
      await untilUp(port, webhookEndpointId);
      await eventually(async () => expect(kept()).toEqual(await numbersAfter(first)), patienceMs);
      expect(kept()).not.toContain(999_999);
      await webhooks.deleteWebhookEndpoint({ webhookEndpointId });
    },
  );
});
