import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, expect, test } from "vitest";
import { createClients } from "../../src/client/clients.ts";
import { createEmptyDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { readDocument, root } from "../support/readme.ts";
import { startTestService } from "../support/service.ts";

/* The program of docs/events.md, as it is written there. */

const { code } = readDocument("docs/events.md");
const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());
const service = stack.use(await startTestService());
const own = stack.use(await createEmptyDatabase());
const client = new Client({ connectionString: own.url });
await client.connect();
stack.defer(() => client.end());
await client.query(code("## Into a table of your own", "sql"));

const clone = await mkdtemp(join(tmpdir(), "callsheet-follow-"));
stack.defer(() => rm(clone, { recursive: true, force: true }));
for (const name of ["src", "node_modules", "package.json"])
  await symlink(join(root, name), join(clone, name));
const program = code("## Into a table of your own", "ts").replace("http://127.0.0.1:50051", service.grpcUrl);
await writeFile(join(clone, "follow.ts"), program);

const start = (): ChildProcess =>
  spawn(process.execPath, ["follow.ts"], {
    cwd: clone,
    env: { PATH: process.env["PATH"], KEY: service.apiKey, OWN_DATABASE_URL: own.url },
    stdio: "ignore",
  });

async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

test("the program keeps its table exactly, however often it is killed, and also where two run", async () => {
  const { jobs, worker } = createClients({ url: service.grpcUrl, apiKey: service.apiKey });
  let following = start();
  const contacts = Array.from({ length: 200 }, (_, i) => ({ phone: `+1415${5_000_000 + i}` }));
  const { batchJobId } = await jobs.createBatchJob({
    name: "Followed",
    fromPhoneNumberId: "pn_1",
    contacts,
    concurrentCallLimit: 50,
    maxAttempts: 1,
  });
  await jobs.startBatchJob({ batchJobId });
  for (let reported = 0, kills = 0; reported < contacts.length;) {
    const leased = await worker.leaseContacts({
      workerId: "worker-1",
      maxContacts: 7,
      wait: { seconds: 5n },
    });
    await worker.reportOutcomes({
      outcomes: leased.contacts.map(({ leaseId }) => ({ leaseId, outcome: 1 })),
    });
    reported += leased.contacts.length;
    if (reported / 40 < kills + 1) continue;
    kills += 1;
    await kill(following);
    following = start();
  }
  const second = start();
  await jobs.createBatchJob({ name: "Another", fromPhoneNumberId: "pn_1" });
  await eventually(async () => {
    const { rows } = await client.query("select status, attempts from callsheet_jobs order by attempts");
    expect(rows).toEqual([
      { status: "created", attempts: 0 },
      { status: "completed", attempts: 200 },
    ]);
  }, 60_000);
  await Promise.all([kill(following), kill(second)]);
}, 180_000);
