import { randomBytes } from "node:crypto";
import { mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, inject, test } from "vitest";
import { startProgram } from "./support/command.ts";
import { cloneDatabase } from "./support/database.ts";
import { eventually } from "./support/eventually.ts";
import { createAuthority } from "./support/servers/authority.ts";
import { mountHanging } from "./support/servers/hanging-mount.ts";

/* The program, where the server of the mount with its certificate does not answer. */

const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());
const mount = await mountHanging();
if (mount !== undefined) stack.use(mount);
const away = join(mount?.path ?? "", "tls.crt");

const directory = await mkdtemp(join(tmpdir(), "callsheet-tls-"));
stack.defer(() => rm(directory, { recursive: true, force: true }));
const [certFile, keyFile, link] = ["real.crt", "tls.key", "tls.crt"].map((name) => join(directory, name));

async function settingsWith(target: string): Promise<Record<string, string>> {
  const { cert, key } = await (await createAuthority()).issue();
  await Promise.all([writeFile(certFile ?? "", cert), writeFile(keyFile ?? "", key)]);
  await point(target);
  const database = stack.use(await cloneDatabase());
  return {
    DATABASE_URL: database.url,
    REDIS_URL: inject("redisUrl"),
    REDIS_PREFIX: `test-${randomBytes(6).toString("hex")}`,
    PORT: "0",
    GRPC_PORT: "0",
    TLS_CERT_FILE: link ?? "",
    TLS_KEY_FILE: keyFile ?? "",
  };
}

/** Has the name of the certificate lead there. */
async function point(target: string): Promise<void> {
  await symlink(target, `${link}.new`);
  await rename(`${link}.new`, link ?? "");
}

const where = mount === undefined ? " (skipped: this user may not mount)" : "";

describe.skipIf(mount === undefined)(`a certificate that cannot be read for now${where}`, () => {
  test("is told at a start, which ends", async () => {
    await using program = startProgram("src/main.ts", await settingsWith(away));
    const { stderr, stdout } = await program.ended;
    expect({ stderr, stdout }).toEqual({
      stdout: "",
      stderr: `TLS_CERT_FILE: ${link} cannot be used: reading it takes longer than 5 s.\n`,
    });
  });

  test("is told at a start as one for Redis, too", async () => {
    const settings = await settingsWith(certFile ?? "");
    const redis = { REDIS_URL: "rediss://localhost:1", REDIS_CA_FILE: away };
    await using program = startProgram("src/main.ts", { ...settings, ...redis });
    const { stderr, stdout } = await program.ended;
    expect({ stderr, stdout }).toEqual({
      stdout: "",
      stderr: "The file of REDIS_CA_FILE cannot be read (reading it takes longer than 5 s).\n",
    });
  });

  test("is told in the log of a service that goes on, and ends when it is asked to", async () => {
    await using program = startProgram("src/main.ts", await settingsWith(certFile ?? ""));
    await eventually(() => expect(program.said.stdout).toContain("callsheet ready: https://"), 20_000);
    await point(away);
    await eventually(
      () => expect(program.said.stderr).toContain("those read before stay in use. TLS_CERT_FILE"),
      30_000,
    );
    program.child.kill("SIGTERM");
    await program.ended;
    expect(program.said.stderr).toContain("reading it takes longer than 5 s");
  }, 90_000);
});
