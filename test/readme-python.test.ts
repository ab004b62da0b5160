import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { sql } from "kysely";
import { afterAll, expect, test } from "vitest";
import { Outcome } from "../src/gen/callsheet/v1/batch_job_pb.ts";
import { eventually } from "./support/eventually.ts";
import { startRestartable } from "./support/restartable.ts";
import { findPython, makePythonClient } from "./support/servers/python.ts";
import { readDocument } from "./support/readme.ts";
import { workAt } from "./support/work.ts";

const { code } = readDocument("docs/workers.md");

const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());

const python = stack.use(await findPython());
const there = python === undefined ? " (needs python3 with grpcio-tools: pip install grpcio-tools)" : "";
const timeout = 180_000;
const patienceMs = 60_000;

const service = stack.use(await startRestartable());
const { apiKey, grpcUrl } = service;
const { startJob, jobOf, contactOf, untilEnded } = workAt(grpcUrl, apiKey);

const directory = await mkdtemp(join(tmpdir(), "callsheet-python-worker-"));
stack.defer(() => rm(directory, { recursive: true, force: true }));

/** The client is made as the document says, and its worker written beside it. */
async function writeWorker(): Promise<Record<string, string>> {
  if (python === undefined) return {};
  await writeFile(join(directory, "worker.py"), code("## Python", "python"));
  return await makePythonClient(python, directory);
}
const withClient = await writeWorker();

type PythonWorker = AsyncDisposable & {
  /** What it has logged, but for what it tries again. */
  readonly lines: () => string[];
  readonly triedAgain: () => boolean;
  /** SIGTERM; answers its exit code. */
  readonly stop: () => Promise<number>;
};

function startWorker(callSeconds: number, leaseSeconds: number): PythonWorker {
  const env = {
    ...withClient,
    ADDRESS: new URL(grpcUrl).host,
    KEY: apiKey,
    CALL_SECONDS: String(callSeconds),
    LEASE_SECONDS: String(leaseSeconds),
  };
  let said = "";
  const { promise: ended, resolve: end } = Promise.withResolvers<number>();
  const child = execFile(python?.command ?? "", ["worker.py"], { cwd: directory, env }, (error) =>
    end(Number(error?.code ?? 0)),
  );
  child.stderr?.on("data", (text: string) => (said += text));
  return {
    lines: () => said.split("\n").filter((line) => line !== "" && !line.startsWith("trying again: ")),
    triedAgain: () => said.includes("trying again: "),
    async stop() {
      child.kill("SIGTERM");
      return await ended;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Asks for no contacts at all, and prints what code_of makes of the refusal, and of that of a port where nobody is. */
const refusalProgram = `
import os, grpc
from callsheet.v1 import contact_worker_service_pb2 as api, contact_worker_service_pb2_grpc as rpc
request = api.LeaseContactsRequest(worker_id="w", max_contacts=-1)
for address in [os.environ["ADDRESS"], "127.0.0.1:1"]:
    worker = rpc.ContactWorkerServiceStub(grpc.insecure_channel(address))
    try:
        worker.LeaseContacts(request, metadata=[("authorization", "Bearer " + os.environ["KEY"])], timeout=30)
    except grpc.RpcError as error:
        print(code_of(error))
`;

test.skipIf(python === undefined)(
  `the documented function reads the code of a refusal in Python${there}`,
  { timeout },
  async () => {
    const documented = readDocument("proto/README.md").code("### Reading the code", "python");
    await writeFile(join(directory, "refusal.py"), documented + refusalProgram);
    const env = {
      ...withClient,
      ADDRESS: new URL(grpcUrl).host,
      KEY: apiKey,
    };
    const { promise, resolve } = Promise.withResolvers<string>();
    execFile(python?.command ?? "", ["refusal.py"], { cwd: directory, env }, (_error, stdout, stderr) =>
      resolve(stdout + stderr),
    );
    expect(await promise).toBe("invalid_argument\nNone\n");
  },
);

test.skipIf(python === undefined)(
  `two of the documented Python workers call nobody twice while the service restarts, and report every call${there}`,
  { timeout },
  async () => {
    const contacts = 24;
    const callSeconds = 11;
    const batchJobId = await startJob(contacts, [Outcome.UNKNOWN]);
    await using pair = new AsyncDisposableStack();
    const workers = [1, 2].map(() => pair.use(startWorker(callSeconds, 20)));
    const said = () => workers.flatMap(({ lines }) => lines());
    const called = () => said().flatMap((line) => /^calling (\d+)$/.exec(line)?.slice(1).map(Number) ?? []);
    await eventually(() => expect(called()).toHaveLength(20), patienceMs);
    // The service goes shortly before these calls end, and is back some time after.
    await delay((callSeconds - 2) * 1_000);
    await service.stop();
    await delay(4_000);
    await service.start();
    await untilEnded(batchJobId, patienceMs);
    expect(await Promise.all(workers.map(({ stop }) => stop()))).toEqual([0, 0]);
    expect(workers.map(({ triedAgain }) => triedAgain())).toEqual([true, true]);
    const everyone = Array.from({ length: contacts }, (_, i) => i + 1);
    expect(called().toSorted((a, b) => a - b)).toEqual(everyone);
    const told = said().filter((line) => !line.startsWith("calling"));
    expect(told.toSorted()).toEqual(everyone.map((number) => `${number} RESULT_RECORDED`).toSorted());
    expect((await jobOf(batchJobId))?.counts).toMatchObject({ total: contacts, completed: contacts });
  },
);

test.skipIf(python === undefined)(
  `the documented Python worker hangs up when its lease is gone, and ends on SIGTERM${there}`,
  { timeout },
  async () => {
    const batchJobId = await startJob(1);
    await using worker = startWorker(600, 10);
    await eventually(() => expect(worker.lines()).toEqual(["calling 1"]), patienceMs);
    const past = sql<Date>`clock_timestamp() - interval '1 second'`;
    await service.db
      .updateTable("leases")
      .set({ expires_at: past })
      .where("job_id", "=", batchJobId)
      .execute();
    await eventually(() => expect(worker.lines()).toEqual(["calling 1", "1 HUNG_UP"]), patienceMs);
    expect(await worker.stop()).toBe(0);
  },
);

test.skipIf(python === undefined)(
  `the documented Python worker hangs up while the service is away for longer than a lease${there}`,
  { timeout },
  async () => {
    const batchJobId = await startJob(1);
    await using worker = startWorker(600, 10);
    await eventually(() => expect(worker.lines()).toEqual(["calling 1"]), patienceMs);
    await service.stop();
    await eventually(() => expect(worker.lines()).toEqual(["calling 1", "1 HUNG_UP"]), patienceMs);
    expect(await worker.stop()).toBe(0);
    await service.start();
    await untilEnded(batchJobId, patienceMs);
    expect(await contactOf(batchJobId)).toMatchObject({ attempts: [{ outcome: Outcome.UNKNOWN }] });
  },
);
