import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../../src/embedded/server-process.ts";
import { certificateFault, whyAway } from "../../src/redis/away.ts";
import { openRedis } from "../../src/redis/connection.ts";
import { writeSelfSigned } from "../support/servers/certificate-files.ts";
import { type RedisServer, startRedisServer } from "../support/servers/redis-servers.ts";

/** What a client says of the server at this URL, and of its certificate. */
async function reasons(url: string): Promise<{ away: string; certificate: string | undefined }> {
  const redis = openRedis(url);
  try {
    const [error]: unknown[] = await once(redis, "error");
    return {
      away: whyAway(redis, error),
      certificate: error instanceof Error ? certificateFault(error) : undefined,
    };
  } finally {
    redis.disconnect();
  }
}

const away = async (url: string) => (await reasons(url)).away;

describe("a sentence says why Redis does not answer:", () => {
  test("nobody listens", async () => {
    const port = await freePort();
    expect(await away(`redis://:secret@127.0.0.1:${port}`)).toBe(
      `Redis at 127.0.0.1:${port} (REDIS_URL) takes no connections; it must run there, and listen.`,
    );
  });

  test("there is no such host", async () => {
    expect(await away("redis://:secret@no-such-host.invalid")).toBe(
      "Redis at no-such-host.invalid:6379 (REDIS_URL) is not to be found; the name server must know that host.",
    );
  });

  test("a cluster of which no node is there", async () => {
    const url = `redis://:secret@127.0.0.1:${await freePort()}`;
    expect(await away(`${url},${url}`)).toMatch(
      /^The Redis Cluster \(REDIS_URL\) does not answer \(.*\); it must be reachable from here\.$/,
    );
  });

  test("it does not speak TLS", async () => {
    // What Redis does once it has waited for the end of a line.
    const plain = createServer((socket) => socket.once("data", () => socket.destroy()));
    await once(plain.listen(0, "127.0.0.1"), "listening");
    const address = plain.address();
    const port = address !== null && typeof address === "object" ? address.port : 0;
    expect(await away(`rediss://:secret@127.0.0.1:${port}`)).toBe(
      `Redis at 127.0.0.1:${port} (REDIS_URL) hangs up on TLS; where it speaks none, the URL must begin with redis://.`,
    );
    plain.close();
  });
});

describe("where Redis speaks TLS", () => {
  let directory = "";
  let redis: RedisServer;
  let tlsPort = 0;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "callsheet-redis-tls-"));
    const { certificate, key } = await writeSelfSigned(directory);
    tlsPort = await freePort();
    redis = await startRedisServer({
      "tls-port": String(tlsPort),
      "tls-cert-file": certificate,
      "tls-key-file": key,
      "tls-auth-clients": "no",
    });
  });
  afterAll(async () => {
    await redis[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  test("a URL without it is told so", async () => {
    expect(await away(`redis://:secret@127.0.0.1:${tlsPort}`)).toBe(
      `Redis at 127.0.0.1:${tlsPort} (REDIS_URL) hangs up; where it speaks TLS, the URL must begin with rediss://.`,
    );
  });

  test("a certificate that nobody has signed is named", async () => {
    expect((await reasons(`rediss://:secret@localhost:${tlsPort}`)).certificate).toBe(
      "Redis shows a certificate that is not trusted here (self-signed certificate); REDIS_CA_FILE must name the file of its CA, and REDIS_URL the host as the certificate has it.",
    );
  });
});
