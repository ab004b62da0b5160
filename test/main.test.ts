import { randomBytes, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { createServer } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { Code, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { Redis } from "ioredis";
import { Client } from "pg";
import { afterAll, describe, expect, inject, test } from "vitest";
import { generateApiKey } from "../src/domain/api-key.ts";
import { chooseDataDirectory } from "../src/embedded/data-directory.ts";
import { startEmbeddedRedis } from "../src/embedded/redis/redis.ts";
import { freePort } from "../src/embedded/server-process.ts";
import { BatchJobService } from "../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { Health } from "../src/gen/grpc/health/v1/health_pb.ts";
import { callerFor } from "./service/callers.ts";
import { createAuthority } from "./support/servers/authority.ts";
import { runProgram, startProgram } from "./support/command.ts";
import { cloneDatabase } from "./support/database.ts";
import { eventually } from "./support/eventually.ts";
import { startProxy } from "./support/servers/proxy.ts";

const database = await cloneDatabase();
afterAll(() => database[Symbol.asyncDispose]());

const apiKey = generateApiKey();
const prefix = `test-${randomBytes(6).toString("hex")}`;
const settings = () => ({
  DATABASE_URL: database.url,
  REDIS_URL: inject("redisUrl"),
  REDIS_PREFIX: prefix,
  PORT: "0",
  GRPC_PORT: "0",
  LOG_LEVEL: "info",
  CALLSHEET_BOOTSTRAP_API_KEY: apiKey,
});

const nowhere = Object.assign(new URL(database.url), { pathname: "/nowhere" }).href;

const readyLine =
  /^callsheet ready: (http:\/\/(?:127\.0\.0\.1|\[::1\]):\d+) grpc:\/\/((?:127\.0\.0\.1|\[::1\]):\d+)\n$/;

/** The program with its ports, once it has said that it is ready. */
async function startMain(given: Record<string, string> = {}) {
  const program = startProgram("src/main.ts", { ...settings(), ...given });
  return await eventually(() => {
    const [, httpUrl, grpc] = readyLine.exec(program.said.stdout) ?? [];
    if (httpUrl === undefined) throw new Error(`it is not ready: ${JSON.stringify(program.said)}`);
    return Object.assign(program, { httpUrl, grpcUrl: `http://${grpc}`, apiKey });
  }, 20_000);
}

const aJob = { name: "Spring campaign", fromPhoneNumberId: "pn_1" };

/** Holds the jobs' table, which may be read, so that a call that creates one stays in hand. */
async function holdJobs() {
  const client = new Client({ connectionString: database.url });
  await client.connect();
  await client.query("begin");
  await client.query("lock table batch_jobs in share mode");
  const isWaitedFor = async () => {
    const waiting =
      "select 1 from pg_locks where not granted and relation = 'batch_jobs'::regclass and mode = 'RowExclusiveLock'";
    return (await client.query(waiting)).rowCount !== 0;
  };
  return { isWaitedFor, [Symbol.asyncDispose]: () => client.end() };
}

describe("the program", () => {
  test("goes on though nobody reads any more what it says", async () => {
    const port = await freePort();
    await using main = startProgram("src/main.ts", { ...settings(), PORT: String(port) });
    main.child.stdout?.destroy();
    main.child.stderr?.destroy();
    await eventually(async () => {
      const { status } = await fetch(`http://127.0.0.1:${port}/readyz`);
      expect(status).toBe(200);
    }, 60_000);
    main.child.kill("SIGTERM");
    expect((await main.ended).exitCode).toBe(0);
  }, 90_000);

  test("says in one line on standard output where it listens, and answers there", async () => {
    await using main = await startMain();
    expect(await (await fetch(`${main.httpUrl}/readyz`)).text()).toBe("ready\n");
    expect(await callerFor("plain fetch", main)("createBatchJob", aJob)).toHaveProperty("ok");
    expect(await callerFor("grpc-js", main)("listBatchJobs", {})).toMatchObject({
      ok: { batchJobs: [{ name: "Spring campaign" }] },
    });
    expect(main.said.stdout).toMatch(readyLine);
    main.child.kill("SIGTERM");
    expect(await main.ended).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(readyLine) });
  });

  test("ends with exit code 0 on Ctrl-C", async () => {
    await using main = await startMain();
    main.child.kill("SIGINT");
    expect((await main.ended).exitCode).toBe(0);
  });

  test("ends as well where Ctrl-C comes twice, as npm sends it on", async () => {
    await using main = await startMain({ SHUTDOWN_DELAY: "1" });
    main.child.kill("SIGINT");
    const ready = async () => (await fetch(`${main.httpUrl}/readyz`)).status;
    await eventually(async () => expect(await ready()).toBe(503));
    main.child.kill("SIGINT");
    expect((await main.ended).exitCode).toBe(0);
  });

  test.each(["plain fetch", "grpc-js"] as const)("answers a call in hand after SIGTERM: %s", async (name) => {
    await using main = await startMain();
    const hold = await holdJobs();
    const call = callerFor(name, main)("createBatchJob", { ...aJob, name });
    await eventually(async () => expect(await hold.isWaitedFor()).toBe(true));
    main.child.kill("SIGTERM");
    await eventually(() => expect(fetch(`${main.httpUrl}/healthz`)).rejects.toThrow("fetch failed"));
    await hold[Symbol.asyncDispose]();
    expect(await call).toMatchObject({ ok: { success: true } });
    expect((await main.ended).exitCode).toBe(0);
  });

  test.each(["SIGTERM", "SIGINT"] as const)(
    "cuts nothing off at a second %s, as npm passes one on",
    async (signal) => {
      await using main = await startMain();
      const hold = await holdJobs();
      const call = callerFor("grpc-js", main)("createBatchJob", { ...aJob, name: signal });
      await eventually(async () => expect(await hold.isWaitedFor()).toBe(true));
      main.child.kill(signal);
      await eventually(() => expect(fetch(`${main.httpUrl}/healthz`)).rejects.toThrow("fetch failed"));
      main.child.kill(signal);
      await hold[Symbol.asyncDispose]();
      expect(await call).toMatchObject({ ok: { success: true } });
      expect((await main.ended).exitCode).toBe(0);
    },
  );

  test("cuts a call that takes longer than SHUTDOWN_TIMEOUT", async () => {
    await using main = await startMain({ SHUTDOWN_TIMEOUT: "0.2" });
    const hold = await holdJobs();
    const call = callerFor("grpc-js", main)("createBatchJob", aJob);
    await eventually(async () => expect(await hold.isWaitedFor()).toBe(true));
    main.child.kill("SIGTERM");
    expect(await call).toMatchObject({ refused: { code: "unavailable" } });
    await hold[Symbol.asyncDispose]();
    expect((await main.ended).exitCode).toBe(0);
  });

  test("tells a watcher of its health that it stops", async () => {
    await using main = await startMain();
    const health = createClient(Health, createGrpcTransport({ baseUrl: main.grpcUrl }));
    const statuses = health.watch({})[Symbol.asyncIterator]();
    expect((await statuses.next()).value).toMatchObject({ status: 1 });
    main.child.kill("SIGTERM");
    const rest = await statuses.next().then(
      ({ value }) => value?.status,
      () => "ended",
    );
    expect([2, "ended"]).toContain(rest);
    expect((await main.ended).exitCode).toBe(0);
  });

  test("goes on without Redis, says so, and is ready", async () => {
    await using main = await startMain({ REDIS_URL: "redis://127.0.0.1:1" });
    expect(await (await fetch(`${main.httpUrl}/readyz`)).text()).toBe("ready\n");
    expect(main.said.stderr).toMatch(
      /"level":50,.*"reason":"Redis at 127\.0\.0\.1:1 \(REDIS_URL\) takes no connections; .*Redis does not answer/,
    );
  });

  test("says once which variable is no setting, and starts", async () => {
    await using main = await startMain({ CALLSHEET_DATA_DIRECTORY: "hunter2" });
    const told = main.said.stderr.split("\n").filter((line) => line.includes("CALLSHEET_DATA_DIRECTORY"));
    expect(told.map((line): unknown => JSON.parse(line))).toMatchObject([
      {
        level: 40,
        msg: "CALLSHEET_DATA_DIRECTORY is no setting, and is ignored; the nearest one is CALLSHEET_DATA_DIR.",
      },
    ]);
    expect(main.said.stderr).not.toContain("hunter2");
  });

  test("does not bring a revoked bootstrap key back", async () => {
    const other = { CALLSHEET_BOOTSTRAP_API_KEY: generateApiKey() };
    const keysOf = async () => {
      const { stdout } = await runProgram("src/access/keys.ts", ["list"], { DATABASE_URL: database.url });
      return stdout.trimEnd().split("\n");
    };
    await (await startMain(other))[Symbol.asyncDispose]();
    const before = await keysOf();
    const revoked = before.at(-1)?.slice(0, 36) ?? "";
    await runProgram("src/access/keys.ts", ["revoke", revoked], { DATABASE_URL: database.url });
    await using main = await startMain(other);
    const ports = { ...main, apiKey: other.CALLSHEET_BOOTSTRAP_API_KEY };
    expect(await callerFor("plain fetch", ports)("listBatchJobs", {})).toMatchObject({
      refused: { code: "unauthenticated" },
    });
    expect(await keysOf()).toHaveLength(before.length);
  });
});

const hasIpv6 = Object.values(networkInterfaces()).some((found) =>
  found?.some(({ address }) => address === "::1"),
);

test.runIf(hasIpv6)("an IPv6 address is printed as a URL has it (where there is one)", async () => {
  await using main = await startMain({ HOST: "::1" });
  expect(main.httpUrl).toMatch(/^http:\/\/\[::1\]:\d+$/);
  expect(await (await fetch(`${main.httpUrl}/readyz`)).text()).toBe("ready\n");
  expect(await callerFor("connect-node gRPC", main)("listBatchJobs", {})).toHaveProperty("ok");
});

test("with a certificate the program is reached over TLS only, and tells when it expires", async () => {
  const directory = await mkdtemp(join(tmpdir(), "callsheet-main-tls-"));
  const authority = await createAuthority();
  const { cert, key } = await authority.issue();
  const [certFile, keyFile] = [join(directory, "tls.crt"), join(directory, "tls.key")];
  await Promise.all([writeFile(certFile, cert), writeFile(keyFile, key)]);
  const tls = { HOST: "0.0.0.0", TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile, BASE_PATH: "/calls" };
  await using program = startProgram("src/main.ts", { ...settings(), ...tls });
  const port = await eventually(() => {
    const said = /^callsheet ready: https:\/\/0\.0\.0\.0:(\d+)\/calls grpcs:\/\/0\.0\.0\.0:\d+\n$/.exec(
      program.said.stdout,
    );
    if (said === null) throw new Error(`it is not ready: ${JSON.stringify(program.said)}`);
    return Number(said[1]);
  }, 20_000);
  const asked = request({ host: "localhost", port, path: "/calls/metrics", ca: authority.cert }).end();
  const [response] = await once(asked, "response");
  let metrics = "";
  for await (const chunk of response) metrics += String(chunk);
  expect(metrics).toMatch(/^callsheet_tls_files_fit 1$/m);
  const expires = /^callsheet_tls_certificate_expires_timestamp_seconds (\d+)$/m.exec(metrics)?.[1];
  expect(Number(expires)).toBe(Date.parse(new X509Certificate(cert).validTo) / 1_000);
  await rm(directory, { recursive: true });
});

test("while another replica changes the schema, the program says so once, and SIGTERM ends it with exit code 0", async () => {
  await using stack = new AsyncDisposableStack();
  const holder = new Client({ connectionString: database.url });
  await holder.connect();
  stack.defer(() => holder.end());
  // The lock of Kysely's migrator, which every version takes.
  const { rows } = await holder.query(
    "select pg_backend_pid() as pid, pg_advisory_lock(3853314791062309107)",
  );
  const port = String(await freePort());
  const main = stack.use(startProgram("src/main.ts", { ...settings(), PORT: port }));
  const sentence = `Another replica, or a command, changes the schema of the database (process ${rows[0]?.pid} of Postgres); this one goes on once it has ended.`;
  await eventually(async () => {
    const response = await fetch(`http://127.0.0.1:${port}/readyz`);
    expect(await response.text()).toBe(`not ready: ${sentence}\n`);
  }, 20_000);
  main.child.kill("SIGTERM");
  const { exitCode, stdout, stderr } = await main.ended;
  expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: "" });
  expect(stderr.match(/The start waits[^"]*/g)).toEqual([`The start waits. ${sentence}`]);
});

/** The program with its way to Postgres cut, once it answers on its port. */
async function startWaiting(given: Record<string, string> = {}) {
  const proxy = await startProxy(database.url);
  await proxy.cut();
  const port = String(await freePort());
  const httpUrl = `http://127.0.0.1:${port}`;
  const cutOff = { DATABASE_URL: proxy.url, PORT: port };
  const program = startProgram("src/main.ts", { ...settings(), ...cutOff, ...given });
  const page = async (path: string) => {
    const response = await fetch(`${httpUrl}${path}`);
    return { status: response.status, body: await response.text() };
  };
  const place = `Postgres at ${new URL(proxy.url).host} (DATABASE_URL)`;
  await eventually(async () => expect((await page("/readyz")).body).toContain(place), 20_000);
  return { ...program, proxy, place, httpUrl, page };
}

describe("while Postgres is away at the start", () => {
  test("the program lives, is not ready, says why, and goes on once it is there", async () => {
    await using main = await startWaiting();
    const sentence = `${main.place} takes no connections; it must run there, and listen.`;
    expect(await main.page("/healthz")).toEqual({ status: 200, body: "ok\n" });
    expect(await main.page("/readyz")).toEqual({ status: 503, body: `not ready: ${sentence}\n` });
    const client = createClient(
      BatchJobService,
      createConnectTransport({ baseUrl: main.httpUrl, httpVersion: "1.1" }),
    );
    await expect(client.listBatchJobs({})).rejects.toMatchObject({ code: Code.Unavailable });
    expect(main.said.stdout).toBe("");

    await main.proxy.mend();
    await eventually(() => expect(main.said.stdout).toMatch(readyLine), 20_000);
    expect(await main.page("/readyz")).toEqual({ status: 200, body: "ready\n" });
    expect(main.said.stderr.match(/The start waits for Postgres\. [^"]*/g)).toEqual([
      `The start waits for Postgres. ${sentence}`,
    ]);
    expect(main.said.stderr.match(/the start goes on/g)).toHaveLength(1);
    await main.proxy[Symbol.asyncDispose]();
  });

  test("a page of an origin that may call is told so, too, and no other is", async () => {
    const origin = "https://app.example.com";
    await using main = await startWaiting({ CORS_ORIGINS: origin });
    const url = `${main.httpUrl}/callsheet.v1.BatchJobService/ListBatchJobs`;
    const ask = async (from: string, init: RequestInit) => {
      const { status, headers } = await fetch(url, { ...init, headers: { ...init.headers, origin: from } });
      return { status, mayBeSeenBy: headers.get("access-control-allow-origin") };
    };
    const preflight = { method: "OPTIONS", headers: { "access-control-request-method": "POST" } };
    expect(await ask(origin, preflight)).toEqual({ status: 204, mayBeSeenBy: origin });
    expect(await ask(origin, { method: "POST" })).toEqual({ status: 503, mayBeSeenBy: origin });
    for (const init of [preflight, { method: "POST" }])
      expect(await ask("https://evil.example.com", init)).toEqual({ status: 503, mayBeSeenBy: null });
  });

  test("SIGTERM ends it with exit code 0", async () => {
    await using main = await startWaiting();
    main.child.kill("SIGTERM");
    expect(await main.ended).toMatchObject({ exitCode: 0, stdout: "" });
  });
});

describe("the program ends with exit code 1 and one sentence", () => {
  const oneSentence = /^[^\n]+\n$/;

  test.each([
    ["PORT", "GRPC_PORT"],
    ["GRPC_PORT", "PORT"],
  ])("when %s is in use", async (taken) => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port = address !== null && typeof address === "object" ? address.port : 0;
    // What it logs before it listens is not the point here.
    const wrong = { [taken]: String(port), LOG_LEVEL: "fatal" };
    expect(await runProgram("src/main.ts", [], { ...settings(), ...wrong })).toEqual({
      exitCode: 1,
      stdout: "",
      stderr: `Cannot listen on 127.0.0.1:${port} (HOST, ${taken}): the port is in use; free it, or set ${taken} to another.\n`,
    });
    server.close();
  });

  test.each([
    ["a setting is wrong", { PORT: "eighty" }, "PORT"],
    ["there is no such database", { DATABASE_URL: nowhere }, "has no database nowhere"],
    [
      "the host is not this machine's",
      { HOST: "192.0.2.1", ALLOW_PLAINTEXT: "true" },
      "set HOST to one that it has",
    ],
    ["other machines would reach it in plain text", { HOST: "0.0.0.0" }, "ALLOW_PLAINTEXT=true"],
    [
      "the certificate is not there",
      { TLS_CERT_FILE: "/nowhere.crt", TLS_KEY_FILE: "/nowhere.key" },
      "TLS_CERT_FILE: /nowhere.crt cannot be used: there is no such file",
    ],
  ])("when %s", async (_, wrong, word) => {
    const ended = await runProgram("src/main.ts", [], { ...settings(), ...wrong });
    expect(ended).toEqual({ exitCode: 1, stdout: "", stderr: expect.stringMatching(oneSentence) });
    expect(ended.stderr).toContain(word);
  });

  test("before it starts a server of its own for nothing", async () => {
    const dataDirectory = join(tmpdir(), `callsheet-${randomBytes(6).toString("hex")}`);
    const wrong = { TLS_CERT_FILE: "/nowhere.crt", TLS_KEY_FILE: "/nowhere.key" };
    const { DATABASE_URL: _, ...others } = settings();
    const given = { ...others, ...wrong, CALLSHEET_DATA_DIR: dataDirectory };
    const ended = await runProgram("src/main.ts", [], given);
    expect(ended).toEqual({ exitCode: 1, stdout: "", stderr: expect.stringMatching(oneSentence) });
    expect(existsSync(dataDirectory)).toBe(false);
  });

  test("when its role may not create tables", async () => {
    const name = `r${randomBytes(5).toString("hex")}`;
    const client = new Client({ connectionString: database.url });
    await client.connect();
    await client.query(`create role ${name} login password 'plain'`);
    await client.query(`create database ${name}`);
    const url = Object.assign(new URL(database.url), {
      username: name,
      password: "plain",
      pathname: `/${name}`,
    });
    const ended = await runProgram("src/main.ts", [], { ...settings(), DATABASE_URL: url.href });
    await client.query(`drop database ${name}`);
    await client.query(`drop role ${name}`);
    await client.end();
    expect(ended).toEqual({
      exitCode: 1,
      stdout: "",
      stderr: `Role ${name} may not create tables in schema public of database ${name} (DATABASE_URL); GRANT CREATE ON SCHEMA public TO ${name}, or give it a schema of its own.\n`,
    });
  });

  test("when Redis may evict keys", async () => {
    await using stack = new AsyncDisposableStack();
    const dataDirectory = await mkdtemp(join(tmpdir(), "callsheet-main-"));
    stack.defer(() => rm(dataDirectory, { recursive: true, force: true }));
    await chmod(dataDirectory, 0o755);
    const packageDirectory = join(chooseDataDirectory(undefined), "redis-package");
    const { url } = stack.use(await startEmbeddedRedis({ dataDirectory, packageDirectory, say: () => {} }));
    const redis = new Redis(url);
    stack.defer(() => redis.disconnect());
    await redis.config("SET", "maxmemory-policy", "allkeys-lru");
    const ended = await runProgram("src/main.ts", [], { ...settings(), REDIS_URL: url });
    expect(ended).toEqual({ exitCode: 1, stdout: "", stderr: expect.stringMatching(oneSentence) });
    expect(ended.stderr).toMatch(/allkeys-lru.*noeviction/);
  });
});
