import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Finding } from "../../src/doctor/finding.ts";
import { freePort } from "../../src/embedded/server-process.ts";
import { certificateFault } from "../../src/redis/away.ts";
import { openRedis } from "../../src/redis/connection.ts";
import { readTls } from "../../src/redis/tls.ts";
import { readRegularFile } from "../../src/rpc/tls/files.ts";
import {
  type AuthorityFiles,
  type CertificateFiles,
  createAuthorityFiles,
} from "../support/servers/certificate-files.ts";
import { runProgram } from "../support/command.ts";
import { cloneDatabase } from "../support/database.ts";
import { connected } from "../support/parts.ts";
import { eventually } from "../support/eventually.ts";
import { startRedisCluster } from "../support/servers/redis-cluster.ts";
import { startRedisServer } from "../support/servers/redis-servers.ts";
import { startWatched } from "../support/servers/sentinels.ts";

// A Redis that speaks TLS, and asks for a client certificate, as Redis does unless it is told not to.
const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());
let ours: AuthorityFiles;
let foreign: AuthorityFiles;
let client: CertificateFiles;
let port = 0;
let expiredPort = 0;

async function startWith({ certificate, key }: CertificateFiles): Promise<number> {
  const tlsPort = await freePort();
  stack.use(
    await startRedisServer({
      "tls-port": String(tlsPort),
      "tls-cert-file": certificate,
      "tls-key-file": key,
      "tls-ca-cert-file": ours.certificate,
    }),
  );
  return tlsPort;
}

beforeAll(async () => {
  ours = stack.use(await createAuthorityFiles());
  foreign = stack.use(await createAuthorityFiles());
  client = await ours.issue(["callsheet"]);
  port = await startWith(await ours.issue(["localhost"]));
  expiredPort = await startWith(await ours.issue(["localhost"], "over"));
});

const files = (authority: AuthorityFiles) => ({
  caFile: authority.certificate,
  certFile: client.certificate,
  keyFile: client.key,
});

/** What is wrong with the certificate that is shown there. */
async function fault(url: string, authority: AuthorityFiles): Promise<string | undefined> {
  const redis = openRedis(url, await readTls(url, files(authority), readRegularFile));
  try {
    const [error]: unknown[] = await once(redis, "error");
    return error instanceof Error ? certificateFault(error) : undefined;
  } finally {
    redis.disconnect();
  }
}

test("with the files of the settings, Redis is used over TLS, and so is a database of it", async () => {
  const url = `rediss://localhost:${port}/7`;
  const redis = await connected(openRedis(url, await readTls(url, files(ours), readRegularFile)));
  expect(await redis.client("INFO")).toMatch(/ db=7 /);
  redis.disconnect();
});

test("the doctor looks at Redis over TLS, with the same files", async () => {
  await using database = await cloneDatabase();
  const { stdout } = await runProgram("src/doctor/doctor.ts", ["--json"], {
    DATABASE_URL: database.url,
    REDIS_URL: `rediss://localhost:${port}`,
    REDIS_CA_FILE: ours.certificate,
    REDIS_CERT_FILE: client.certificate,
    REDIS_KEY_FILE: client.key,
  });
  const findings = JSON.parse(stdout) as Finding[];
  expect(findings.find(({ check }) => check === "policy of Redis")).toMatchObject({ level: "ok" });
}, 60_000);

test("a cluster is used over TLS, at the ports for it that it tells of", async () => {
  const tls = { caFile: ours.certificate, files: await ours.issue(["127.0.0.1"]) };
  await using cluster = await startRedisCluster({ replicasEach: 0, nodeTimeoutMs: 15_000, tls });
  const redis = await connected(
    openRedis(cluster.url, await readTls(cluster.url, files(ours), readRegularFile)),
  );
  const keys = Array.from({ length: 30 }, (_, i) => `{${i}}:key`);
  for (const key of keys) await redis.set(key, "over TLS");
  const held = await Promise.all(cluster.masters.map(({ admin }) => admin.dbsize()));
  expect(held.reduce((sum, count) => sum + count)).toBe(keys.length);
  expect(Math.min(...held)).toBeGreaterThan(0);
  redis.disconnect();
}, 60_000);

test("the master of Sentinels is found and used over TLS, and so is who comes after it", async () => {
  const tls = { caFile: ours.certificate, files: await ours.issue(["127.0.0.1"]) };
  await using watched = await startWatched({ tls });
  const redis = await connected(
    openRedis(watched.url, await readTls(watched.url, files(ours), readRegularFile)),
  );
  await redis.set("word", "before");
  await watched.master.kill();
  await watched.failedOver();
  await eventually(async () => expect(await redis.set("word", "after")).toBe("OK"), 30_000);
  expect(await watched.replica.admin.info("replication")).toContain("role:master");
  redis.disconnect();
}, 90_000);

describe("a certificate is refused, and named,", () => {
  test("that another CA has signed", async () => {
    expect(await fault(`rediss://localhost:${port}`, foreign)).toMatch(/certificate signature failure/);
  });

  test("that is another host's", async () => {
    expect(await fault(`rediss://127.0.0.1:${port}`, ours)).toMatch(/does not match certificate's altnames/);
  });

  test("whose time is over", async () => {
    expect(await fault(`rediss://localhost:${expiredPort}`, ours)).toMatch(/certificate has expired/);
  });
});

describe("files that do not fit are refused in a sentence:", () => {
  test.each([
    ["redis://a", { caFile: "/x" }, /^REDIS_CA_FILE is set, and REDIS_URL asks for no TLS; /],
    ["rediss://a", { caFile: "/no/such" }, /^The file of REDIS_CA_FILE cannot be read \(ENOENT/],
    [
      "rediss://a",
      { caFile: "/dev/null" },
      /^The file of REDIS_CA_FILE cannot be read \(it is no regular file/,
    ],
    ["rediss://a", { certFile: "/x" }, /^REDIS_CERT_FILE and REDIS_KEY_FILE belong together; /],
    ["rediss+sentinel://a/b", { keyFile: "/x" }, /^REDIS_CERT_FILE and REDIS_KEY_FILE belong together; /],
  ])("%s %j", async (url, given, words) => {
    await expect(readTls(url, given, readRegularFile)).rejects.toThrow(words);
  });
});
