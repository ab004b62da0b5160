import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { generateApiKey } from "../../src/domain/api-key.ts";
import { cloneDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { mainSettings } from "../support/main.ts";
import { callerFor } from "./callers.ts";

// The program, with a pipe for its log that nobody reads until the end.
const stack = new AsyncDisposableStack();
const database = stack.use(await cloneDatabase());
const apiKey = generateApiKey();
const child = spawn(process.execPath, ["src/main.ts"], {
  cwd: join(import.meta.dirname, "../.."),
  env: {
    PATH: process.env["PATH"],
    PORT: "0",
    GRPC_PORT: "0",
    ...mainSettings(database.url, apiKey),
  },
  stdio: ["ignore", "pipe", "pipe"],
});
stack.defer(() => void child.kill("SIGKILL"));
afterAll(() => stack.disposeAsync());
let said = "";
child.stdout.on("data", (data) => (said += String(data)));
child.stderr.pause();

const ports = await eventually(() => {
  const [, httpUrl, grpcPort] = /ready: (\S+) grpc:\/\/127\.0\.0\.1:(\d+)\n/.exec(said) ?? [];
  if (httpUrl === undefined) throw new Error("it is not ready");
  return { httpUrl, grpcUrl: `http://127.0.0.1:${grpcPort}`, apiKey };
}, 20_000);
const call = callerFor("grpc-js", ports);
const soon = () => ({ signal: AbortSignal.timeout(10_000) });

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${ports.httpUrl}/metrics`, soon())).text();
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
}

/** Makes calls, some at a time, none of which may hang. */
async function makeCalls(count: number, one: () => Promise<unknown>): Promise<void> {
  let left = count;
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      while (left-- > 0) await one();
    }),
  );
}

test("a log that nobody reads stops nothing: lines are dropped, and told of by their number", async () => {
  const path = `${ports.httpUrl}/callsheet.v1.BatchJobService/ListBatchJobs`;
  const header = { "content-type": "application/json" };
  await makeCalls(2_000, async () => {
    const response = await fetch(path, { method: "POST", headers: header, body: "{}", ...soon() });
    expect(response.status).toBe(401);
    await response.text();
  });
  // A caller with a key is logged each time, so that in the end there is no room.
  for (
    let rounds = 0;
    rounds < 20 && (await metric("callsheet_log_lines_dropped_total")) === 0;
    rounds += 1
  ) {
    await makeCalls(500, () => call("cancelBatchJob", { batchJobId: "7" }, { timeoutMs: 10_000 }));
  }
  const dropped = await metric("callsheet_log_lines_dropped_total");
  expect(dropped).toBeGreaterThan(0);
  expect(await (await fetch(`${ports.httpUrl}/healthz`, soon())).text()).toBe("ok\n");
  expect(await call("listBatchJobs", {}, { timeoutMs: 10_000 })).toHaveProperty("ok");

  let log = "";
  child.stderr.on("data", (data) => (log += String(data)));
  child.stderr.resume();
  const lines = () =>
    log
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line));
  await eventually(() => {
    const told = lines().filter(({ msg }) => /dropped/.test(msg));
    expect(told).toEqual([expect.objectContaining({ lines: expect.any(Number) })]);
    expect(told[0].lines).toBeGreaterThanOrEqual(dropped);
  });
  const refused = lines().filter(({ msg }) => msg === "call refused");
  const counted = lines().filter(({ msg }) => /more calls were refused/.test(msg));
  expect(counted.length).toBeGreaterThan(0);
  expect(refused.length + counted.reduce((sum, { calls }) => sum + Number(calls), 0)).toBe(2_000);
  expect(refused.length).toBeLessThan(1_000);
}, 120_000);

test("a program whose log nobody reads any more ends all the same", async () => {
  child.stderr.pause();
  for (let rounds = 0; rounds < 20; rounds += 1) {
    await makeCalls(50, () => call("cancelBatchJob", { batchJobId: "7" }, { timeoutMs: 10_000 }));
  }
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  expect(await exited).toEqual([0, null]);
}, 60_000);
