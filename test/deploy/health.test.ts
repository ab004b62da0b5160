import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, describe, expect, test } from "vitest";
import { freePort } from "../../src/embedded/server-process.ts";
import { openCertificates } from "../../src/rpc/tls/certificates.ts";
import { startEcho } from "../rpc/echo.ts";
import { root } from "../support/readme.ts";
import { type Authority, createAuthority } from "../support/servers/authority.ts";

/* The health check of the image, beside a service that is ready or not. */

const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());

type Settings = Record<string, string>;

/** How the check ends, and what it says. */
function check(settings: Settings, ...args: string[]): Promise<{ exitCode: number | null; said: string }> {
  return new Promise((resolve) => {
    const options = { env: { PATH: process.env["PATH"], ...settings } };
    const file = join(root, "deploy/health.js");
    const child = execFile(process.execPath, [file, ...args], options, (_, stdout, stderr) =>
      resolve({ exitCode: child.exitCode, said: `${stdout}${stderr}` }),
    );
  });
}

const well = { exitCode: 0, said: "" };
const unwell = { exitCode: 1, said: "" };
const unknown = {
  exitCode: 0,
  said: "It answers. What /readyz says is not known: TLS_CLIENT_CA_FILE does not let in who shows TLS_CERT_FILE.\n",
};

/** A service that says whether it is ready, and lives; its settings name it to the check. */
async function startSaying(status: number, files?: Settings, basePath = ""): Promise<Settings> {
  const { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile, TLS_CLIENT_CA_FILE: clientCaFile } = files ?? {};
  const certificates =
    certFile !== undefined && keyFile !== undefined
      ? stack.use(
          await openCertificates(
            { certFile, keyFile, clientCaFile: clientCaFile || undefined },
            { logger: pino({ level: "silent" }), onLook: () => {}, lookMs: 10 },
          ),
        )
      : undefined;
  const { http } = stack.use(
    await startEcho({
      certificates,
      basePath,
      pages: {
        "/readyz": () => ({ status, body: "it says so\n" }),
        "/healthz": () => ({ body: "ok\n" }),
      },
    }),
  );
  return { PORT: String(http.port), BASE_PATH: basePath, ...files };
}

/** The files of a certificate, and of the authority of clients' ones. */
async function writeFiles(authority: Authority, ofClients: Authority): Promise<Settings> {
  const directory = await mkdtemp(join(tmpdir(), "callsheet-health-"));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const { cert, key } = await authority.issue();
  const contents = { TLS_CERT_FILE: cert, TLS_KEY_FILE: key, TLS_CLIENT_CA_FILE: ofClients.cert };
  const files = Object.entries(contents).map(async ([name, content]) => {
    const file = join(directory, name);
    await writeFile(file, content);
    return [name, file] as const;
  });
  return Object.fromEntries(await Promise.all(files));
}

const authority = await createAuthority();
const another = await createAuthority("CN=another");

/** An empty setting counts as not set. */
const withoutClientCa = (files: Settings): Settings => ({ ...files, TLS_CLIENT_CA_FILE: "" });

describe.each([
  ["in plain text", async () => undefined],
  ["over TLS", async () => withoutClientCa(await writeFiles(authority, authority))],
  ["where clients show certificates, and its own is one", () => writeFiles(authority, authority)],
])("a service %s", (_, filesOf) => {
  test("is well when it is ready, and only then", async () => {
    const files = await filesOf();
    expect(await check(await startSaying(200, files))).toEqual(well);
    expect(await check(await startSaying(200, files, "/callsheet"))).toEqual(well);
    expect(await check(await startSaying(503, files))).toEqual(unwell);
    expect(await check({ ...files, PORT: String(await freePort()) })).toEqual(unwell);
  });

  test("that is not ready is well when it is asked whether it lives", async () => {
    expect(await check(await startSaying(503, await filesOf()), "/healthz")).toEqual(well);
  });
});

describe("a service that does not take its own certificate from clients", () => {
  test("is well when it answers a handshake, and the check says that it knows no more", async () => {
    const files = await writeFiles(authority, another);
    expect(await check(await startSaying(503, files))).toEqual(unknown);
    expect(await check({ ...files, PORT: String(await freePort()) })).toEqual(unwell);
  });

  test("is so too while its files are being replaced", async () => {
    const settings = await startSaying(200, await writeFiles(authority, authority));
    await writeFile(settings["TLS_KEY_FILE"] ?? "", "half of a key");
    expect(await check(settings)).toEqual(unknown);
  });
});
