import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { chmod, cp, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { generateApiKey } from "../src/domain/api-key.ts";
import { BatchJobStatus, Outcome } from "../src/gen/callsheet/v1/batch_job_pb.ts";
import { mainSettings, startMain } from "./support/main.ts";
import { startProgram } from "./support/command.ts";
import { cloneDatabase } from "./support/database.ts";
import { makeContacts } from "./support/make.ts";
import { readDocument, root } from "./support/readme.ts";
import { createClients } from "./support/replica.ts";

/*
 * What a production install holds, and that the service needs no more. It is made in a folder of its own, of the
 * files that docs/operating.md names, by the command that it gives.
 */

const directory = await mkdtemp(join(tmpdir(), "callsheet-production-"));
afterAll(() => rm(directory, { recursive: true, force: true }));

const [, command = ""] =
  /^```sh\n(npm ci --omit.*)\n```$/m.exec(readDocument("docs/operating.md").section("## Installing")) ?? [];

/** On a machine with tests what it needs is in npm's cache. */
const quickly = "--prefer-offline --no-audit --no-fund";

const isSource = (path: string): boolean => !path.endsWith("/dist");

beforeAll(async () => {
  for (const name of ["package.json", "package-lock.json", ".npmrc", "src"]) {
    await cp(join(root, name), join(directory, name), { recursive: true, filter: isSource });
  }
  // Nothing that `npm test` has set up: this Node, whatever else is on the PATH, and npm's own settings.
  const PATH = [dirname(process.execPath), process.env["PATH"]].join(delimiter);
  const env = { PATH, HOME: process.env["HOME"] };
  await promisify(execFile)("sh", ["-c", `${command} ${quickly}`], { cwd: directory, env });
}, 180_000);

type Manifest = Record<"dependencies" | "devDependencies" | "optionalDependencies", Record<string, string>>;

test("has every dependency, and none of what builds and tests, nor servers, nor a Node", async () => {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;
  const found = await readdir(join(directory, "node_modules"), { recursive: true });
  const installed = new Set(found.map((path) => path.replaceAll("\\", "/")));
  // The types of Node are a dependency of protobufjs.
  const left = Object.keys({ ...manifest.devDependencies, ...manifest.optionalDependencies })
    .filter((name) => name !== "@types/node")
    .filter((name) => installed.has(name));
  expect(left).toEqual([]);
  expect(Object.keys(manifest.dependencies).filter((name) => !installed.has(name))).toEqual([]);
  expect([...installed].filter((path) => path.endsWith("papaparse/package.json"))).toHaveLength(1);
  expect(found.filter((path) => path.startsWith(".bin/node"))).toEqual([]);
});

test("works a job to its end", async () => {
  await using database = await cloneDatabase();
  const apiKey = generateApiKey();
  await using program = await startMain(mainSettings(database.url, apiKey), directory);
  const { jobs, worker } = createClients(program.grpcUrl, apiKey);
  const job = { name: "A job", fromPhoneNumberId: "pn_1", contacts: makeContacts(2) };
  const { batchJobId } = await jobs.createBatchJob(job);
  await jobs.startBatchJob({ batchJobId });
  for (let done = 0; done < 2;) {
    const { contacts } = await worker.leaseContacts({
      workerId: "w",
      maxContacts: 2,
      wait: { seconds: 10n },
    });
    const outcomes = contacts.map(({ leaseId }) => ({ leaseId, outcome: Outcome.COMPLETED }));
    await worker.reportOutcomes({ outcomes });
    done += outcomes.length;
  }
  expect((await jobs.getBatchJob({ batchJobId })).batchJob?.status).toBe(BatchJobStatus.COMPLETED);
  expect(await (await fetch(program.httpUrl)).text()).toContain("console");
}, 120_000);

test("says what the demo needs in one sentence", async () => {
  await using program = startProgram("src/demo/main.ts", {}, directory);
  const { exitCode, stderr } = await program.ended;
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(/^The demo needs optional dependencies.+\n$/);
}, 120_000);

test("without a database of its own says what to set", async () => {
  const dataDirectory = await mkdtemp(join(tmpdir(), "callsheet-data-"));
  await chmod(dataDirectory, 0o755);
  try {
    const settings = { CALLSHEET_DATA_DIR: dataDirectory, PORT: "0", GRPC_PORT: "0" };
    await using program = startProgram("src/main.ts", settings, directory);
    const { exitCode, stderr } = await program.ended;
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(
      /there is no embedded Postgres for \S+ here: set DATABASE_URL to a Postgres 15 or newer\n$/,
    );
  } finally {
    await rm(dataDirectory, { recursive: true, force: true });
  }
}, 120_000);
