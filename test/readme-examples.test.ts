import { execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { answered, callerFor } from "./service/callers.ts";
import { quoted, readDocument, root } from "./support/readme.ts";
import { eventually } from "./support/eventually.ts";
import { startTestService } from "./support/service.ts";

const readme = readDocument("README.md");
const operating = readDocument("docs/operating.md");

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());

/** The text with the ports of the test's service in place of the usual ones. */
const here = (text: string) =>
  text
    .replaceAll("http://127.0.0.1:8080", service.httpUrl)
    .replaceAll("http://127.0.0.1:50051", service.grpcUrl);

function run(file: string, args: string[], env: Record<string, string>, cwd = root) {
  return new Promise<{ failure: string; stdout: string; stderr: string }>((resolve) => {
    const options = { cwd, env: { PATH: process.env["PATH"], ...env } };
    execFile(file, args, options, (error, stdout, stderr) =>
      resolve({ failure: error?.message ?? "", stdout, stderr }),
    );
  });
}

const call = callerFor("plain fetch", service);

const runKeys = (line: string) =>
  run("sh", ["-c", line.replace("npm run keys --", `"${process.execPath}" src/access/keys.ts`)], {
    DATABASE_URL: service.databaseUrl,
  });

test("the example for curl runs as it is written and gives the answers that are told", async () => {
  const script = here(readme.code("### curl", "sh"));
  const { failure, stdout, stderr } = await run("sh", ["-euc", script], { KEY: service.apiKey });
  expect({ failure, stderr }).toEqual({ failure: "", stderr: "" });
  const [second = "", third = "", fourth = ""] = stdout.split("\n");
  const told = quoted(readme.section("### curl").split("```").at(-1) ?? "");
  expect(told).toEqual([
    '"scheduledStartTime":"2035-03-01T15:00:00.000Z"',
    '"oldJobCancelled":false',
    '"contactsEnqueued":2',
    '"redisJobCancelled":true',
  ]);
  expect(told.slice(0, 2).filter((text) => !second.includes(text))).toEqual([]);
  expect(told.slice(2).filter((text) => !third.includes(text))).toEqual([]);
  expect(JSON.parse(fourth)).toMatchObject({ name: "Spring campaign", status: "running" });
});

test("the example of a file runs as it is written, after the one for curl, and gives the answer that is told", async () => {
  const script = here(`${readme.code("### curl", "sh")}${readme.code("### A file of contacts", "sh")}`);
  const { failure, stdout } = await run("sh", ["-euc", script], { KEY: service.apiKey });
  expect(failure).toBe("");
  const [told = ""] = quoted(readme.section("### A file of contacts").split("```").at(-1) ?? "");
  expect(stdout.trim().split("\n").at(-1)).toContain(told);
});

/** A directory in which a file of TypeScript finds what it finds in a clone. */
async function makeClone(file: string, content: string) {
  await using stack = new AsyncDisposableStack();
  const clone = await mkdtemp(join(tmpdir(), "callsheet-readme-"));
  stack.defer(() => rm(clone, { recursive: true, force: true }));
  for (const name of ["src", "node_modules", "package.json"])
    await symlink(join(root, name), join(clone, name));
  await writeFile(join(clone, file), content);
  const made = stack.move();
  return { clone, [Symbol.asyncDispose]: () => made.disposeAsync() };
}

/** Imports a file of TypeScript with these words, as one in the clone does. */
async function importCode(content: string): Promise<{ codeOf: (error: unknown) => unknown }> {
  const cache = join(root, "node_modules/.cache");
  await mkdir(cache, { recursive: true });
  const file = join(cache, `documented-${randomUUID()}.ts`);
  await writeFile(file, content.replace("./src/", "../../src/"));
  try {
    return await import(file);
  } finally {
    await rm(file);
  }
}

test("the example in TypeScript runs as it is written, and its job starts a second later", async () => {
  await using made = await makeClone("first-job.ts", here(readme.code("### TypeScript", "ts")));
  const began = run(process.execPath, ["first-job.ts"], { KEY: service.apiKey }, made.clone);
  const { failure, stdout, stderr } = await began;
  expect({ failure, stderr }).toEqual({ failure: "", stderr: "" });
  expect(stdout).toContain("Spring campaign");
  const batchJobId = /batchJobId: '([0-9a-f-]{36})'/.exec(stdout)?.[1] ?? "no id";
  await eventually(async () =>
    expect(await call("getBatchJob", { batchJobId })).toMatchObject({
      ok: { batchJob: { status: "BATCH_JOB_STATUS_RUNNING" } },
    }),
  );
});

test("the worker in TypeScript runs as it is written, and ends on SIGTERM when its calls have ended", async () => {
  await using made = await makeClone("worker.ts", here(readme.code("## A worker", "ts")));
  const contacts = [{ phone: "+14155550100" }, { phone: "+14155550101" }];
  const job = { name: "Spring campaign", fromPhoneNumberId: "pn_1", contacts };
  const { batchJobId } = await answered<{ batchJobId: string }>(call("createBatchJob", job));
  await answered(call("startBatchJob", { batchJobId }));
  const env = { PATH: process.env["PATH"], KEY: service.apiKey };
  const worker = spawn(process.execPath, ["worker.ts"], { cwd: made.clone, env, stdio: "inherit" });
  const ended = once(worker, "exit");
  try {
    await eventually(async () =>
      expect(await call("getBatchJob", { batchJobId })).toMatchObject({
        ok: { batchJob: { status: "BATCH_JOB_STATUS_COMPLETED", counts: { completed: 2 } } },
      }),
    );
  } finally {
    worker.kill("SIGTERM");
  }
  expect(await ended).toEqual([0, null]);
});

test("the function that reads the code of a refusal in TypeScript works as it is written", async () => {
  const { codeOf } = await importCode(readDocument("proto/README.md").code("### Reading the code", "ts"));
  const refused = service.clientWith(service.apiKey).getBatchJob({ batchJobId: randomUUID() });
  expect(codeOf(await refused.catch((error: unknown) => error))).toBe("job_not_found");
  expect(codeOf(new Error("not of the service"))).toBeUndefined();
});

test("the example for grpcurl sends a request that is taken", async () => {
  const request = /-d '({.*?})' /s.exec(readme.code("### grpcurl", "sh"))?.[1] ?? "no request";
  expect(await answered(call("createBatchJob", JSON.parse(request)))).toMatchObject({ totalContacts: 2 });
});

test("the examples for API keys run as they are written", async () => {
  const [create = "", list = "", revoke = ""] = operating.code("## API keys", "sh").trim().split("\n");
  expect(await runKeys(create)).toMatchObject({ failure: "", stdout: expect.stringMatching(/^cs_\S+\n$/) });
  expect((await runKeys(list)).stdout).toMatch(/ {2}default {2}operator .* campaign backend$/m);
  expect((await runKeys(revoke)).stderr).toMatch(/^There is no key 7d1f0c1e-/);
});
