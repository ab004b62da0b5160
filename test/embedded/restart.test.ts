import { once } from "node:events";
import { existsSync, readFileSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { type Server, createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { isHeld } from "../../src/embedded/lifeline.ts";
import { clusterIn, readPostmaster } from "../../src/embedded/postgres/postgres-cluster.ts";
import { sendSignal } from "../../src/embedded/server-process.ts";
import { eventually } from "../support/eventually.ts";
import { startMain } from "../support/main.ts";
import { createClients } from "../support/replica.ts";
import { command, packageDirectory, processesIn, temporaryDirectory } from "./support.ts";

const patienceMs = 60_000;

/** The program with servers of its own in this directory, once it is ready. */
async function startIn(path: string) {
  // So that Redis is not unpacked anew.
  const unpacked = join(path, "redis-package");
  if (existsSync(packageDirectory) && !existsSync(unpacked)) symlinkSync(packageDirectory, unpacked);
  await using stack = new AsyncDisposableStack();
  // A killed owner leaves its servers behind, for the next one.
  stack.defer(() => {
    for (const pid of processesIn(path)) sendSignal(Number(pid), "SIGKILL");
  });
  const program = stack.use(await startMain({ CALLSHEET_DATA_DIR: path }));
  const apiKey = readFileSync(join(path, "api-key"), "utf8").trim();
  const running = stack.move();
  return {
    ...program,
    clients: createClients(program.grpcUrl, apiKey),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

const redisFile = (path: string, name: string) => readFileSync(join(path, "redis", name), "utf8");
const redisPort = (path: string) => Number(/^port (\d+)$/m.exec(redisFile(path, "redis.conf"))?.[1]);
const redisUrl = (path: string) => `redis://:${redisFile(path, "password")}@127.0.0.1:${redisPort(path)}`;

const pidOf = {
  async Postgres(path: string) {
    return (await readPostmaster(clusterIn(join(path, "postgres")).data))?.pid;
  },
  async Redis(path: string) {
    const info = String(await command(redisUrl(path), "info", "server"));
    return Number(/^process_id:(\d+)/m.exec(info)?.[1]);
  },
};
type Name = keyof typeof pidOf;
const names: readonly Name[] = ["Postgres", "Redis"];
const lifeline = (name: Name, path: string) => join(path, name.toLowerCase(), "lifeline");

async function kill(name: Name, path: string): Promise<void> {
  const pid = await pidOf[name](path);
  if (pid === undefined) throw new Error(`${name} does not run`);
  sendSignal(pid, "SIGKILL");
}

const untilDead = (name: Name, path: string) =>
  eventually(() => expect(isHeld(lifeline(name, path))).toBe(false), patienceMs);

/** Somebody else, who hangs up on everybody. */
async function listenOn(port: number): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  await once(server.listen(port, "127.0.0.1"), "listening");
  return server;
}

/** Creates a job that is due in a moment, and waits until its contact is leased. */
async function startsDueJob({ clients }: Awaited<ReturnType<typeof startIn>>): Promise<void> {
  const { batchJobId } = await eventually(
    () =>
      clients.jobs.createBatchJob({
        name: "Spring campaign",
        fromPhoneNumberId: "pn_1",
        contacts: [{ phone: "+14155550100" }],
        scheduledStartTime: new Date(Date.now() + 1_000).toISOString(),
      }),
    patienceMs,
  );
  const { contacts } = await eventually(async () => {
    const leased = await clients.worker.leaseContacts({
      workerId: "w",
      maxContacts: 1,
      batchJobIds: [batchJobId],
    });
    if (leased.contacts.length === 0) throw new Error("nothing is leased");
    return leased;
  }, patienceMs);
  expect(contacts).toMatchObject([{ batchJobId, number: 1 }]);
}

describe.runIf(process.platform === "linux")("the program's own servers", { timeout: 180_000 }, () => {
  test("are started again when they are killed, again and again, and none is left behind", async () => {
    using directory = temporaryDirectory();
    const path = realpathSync(directory.path);
    await using main = await startIn(path);
    for (const name of [...names, ...names]) {
      await kill(name, path);
      await untilDead(name, path);
      await startsDueJob(main);
    }
    const lines = main.said.stderr.split("\n").filter((line) => line.startsWith("embedded"));
    for (const name of names) {
      expect(
        lines.filter((line) => line.startsWith(`embedded ${name} has stopped by itself: see `)),
      ).toHaveLength(2);
      expect(lines.filter((line) => line === `embedded ${name} runs again`)).toHaveLength(2);
    }
    main.child.kill("SIGTERM");
    expect((await main.ended).exitCode).toBe(0);
    expect(processesIn(path)).toEqual([]);
  });

  test("stay down where the program is told to end while one of them is", async () => {
    using directory = temporaryDirectory();
    const path = realpathSync(directory.path);
    await using main = await startIn(path);
    const port = redisPort(path);
    await kill("Redis", path);
    await untilDead("Redis", path);
    // Somebody else has its port now, so that it cannot come back.
    await using taken = await listenOn(port);
    expect(taken.listening).toBe(true);
    await eventually(
      () => expect(main.said.stderr).toMatch(/^Redis did not start .*; it is tried again$/m),
      patienceMs,
    );
    main.child.kill("SIGTERM");
    expect((await main.ended).exitCode).toBe(0);
    expect(processesIn(path)).toEqual([]);
  });

  test("come back once nobody else has their port", async () => {
    using directory = temporaryDirectory();
    const path = realpathSync(directory.path);
    await using main = await startIn(path);
    const port = redisPort(path);
    await kill("Redis", path);
    await untilDead("Redis", path);
    {
      await using taken = await listenOn(port);
      expect(taken.listening).toBe(true);
      await eventually(
        () => expect(main.said.stderr).toMatch(/^Redis did not start .*in use.*; it is tried again$/im),
        patienceMs,
      );
    }
    await startsDueJob(main);
    expect(redisPort(path)).toBe(port);
  });

  test.each(names)("end the program in a sentence when the data of %s is gone", async (name) => {
    using directory = temporaryDirectory();
    const path = realpathSync(directory.path);
    await using main = await startIn(path);
    rmSync(join(path, name.toLowerCase()), { recursive: true, force: true, maxRetries: 5 });
    const { exitCode, stderr } = await main.ended;
    expect(exitCode).toBe(1);
    expect(stderr.trimEnd().split("\n").at(-1)).toBe(
      `embedded ${name} cannot go on: its data is gone from ${join(path, name.toLowerCase(), "data")}`,
    );
    await eventually(() => expect(processesIn(path)).toEqual([]), patienceMs);
  });
});
