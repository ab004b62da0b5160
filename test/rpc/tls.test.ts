import { execFileSync } from "node:child_process";
import { type EventEmitter, once } from "node:events";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { connect as connectHttp2, constants } from "node:http2";
import { request as requestHttps } from "node:https";
import { connect as connectTcp, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { connect as connectTls, createServer, type ConnectionOptions } from "node:tls";
import { Code, ConnectError, createClient, type HandlerContext, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { credentials } from "@grpc/grpc-js";
import { pino } from "pino";
import { afterAll, describe, expect, test } from "vitest";
import { deliveryOf } from "../../src/rpc/calls/delivery.ts";
import { createHttpServer } from "../../src/rpc/http/server.ts";
import { createBytesInHand } from "../../src/rpc/requests/bytes-in-hand.ts";
import { type Certificates, type OnLook, openCertificates } from "../../src/rpc/tls/certificates.ts";
import {
  createFileReader,
  type FileReader,
  readRegularFile,
  type TlsFiles,
} from "../../src/rpc/tls/files.ts";
import { limitHandshakes } from "../../src/rpc/tls/handshakes.ts";
import { createAuthority, type Pair } from "../support/servers/authority.ts";
import { eventually } from "../support/eventually.ts";
import { refusal } from "../support/refusal.ts";
import { Echo, type Listeners, type Note, startEcho } from "./echo.ts";
import { createGrpcJsTransport } from "./grpc-js-transport.ts";

const authority = await createAuthority();
const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());

/** Files in a directory of their own. */
async function writePair({ cert, key }: Pair, clientCa?: string): Promise<TlsFiles> {
  const directory = await mkdtemp(join(tmpdir(), "callsheet-tls-"));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const [certFile, keyFile, clientCaFile] = ["tls.crt", "tls.key", "ca.crt"].map((name) =>
    join(directory, name),
  );
  if (certFile === undefined || keyFile === undefined) throw new Error("no names");
  await Promise.all([writeFile(certFile, cert), writeFile(keyFile, key)]);
  if (clientCaFile === undefined || clientCa === undefined) return { certFile, keyFile };
  await writeFile(clientCaFile, clientCa);
  return { certFile, keyFile, clientCaFile };
}

/** Looks at the files all the time, and tells what it logs and what it sees. */
async function open(files: TlsFiles, reader?: FileReader) {
  const lines: string[] = [];
  let seen: Parameters<OnLook>[0] | undefined;
  let looks = 0;
  const certificates = await openCertificates(files, {
    logger: pino({ level: "info" }, { write: (line) => void lines.push(String(JSON.parse(line).msg)) }),
    onLook(found) {
      seen = found;
      looks += 1;
    },
    lookMs: 10,
    ...(reader && { reader }),
  });
  return { certificates: stack.use(certificates), lines, seen: () => seen, looks: () => looks };
}

async function startWith(certificates: Certificates, given: Parameters<typeof startEcho>[0] = {}) {
  return stack.use(await startEcho({ ...given, certificates }));
}

function transports(
  { http, grpc }: Listeners,
  { ca, ...own }: { ca: string; cert?: string; key?: string },
): Record<string, Transport> {
  const nodeOptions = { ca, ...own };
  const at = ({ port }: { port: number }) => ({ baseUrl: `https://localhost:${port}`, nodeOptions });
  const [key, cert] = [own.key, own.cert].map((pem) => (pem === undefined ? null : Buffer.from(pem)));
  const secure = credentials.createSsl(Buffer.from(ca), key, cert);
  return {
    "grpc-js": createGrpcJsTransport(`localhost:${grpc.port}`, {}, secure),
    "connect-node gRPC": createGrpcTransport(at(grpc)),
    "Connect over HTTP/1.1": createConnectTransport({ ...at(http), httpVersion: "1.1" }),
    "Connect over HTTP/2": createConnectTransport({ ...at(http), httpVersion: "2" }),
    "gRPC-Web over HTTP/1.1": createGrpcWebTransport({ ...at(http), httpVersion: "1.1" }),
    "gRPC-Web over HTTP/2": createGrpcWebTransport({ ...at(http), httpVersion: "2" }),
  };
}

const manyHeaders = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`grpc-${i}`, "more"]));

/** Resolves when it is closed, be it with an error. */
const whenClosed = (end: EventEmitter) => new Promise<void>((resolve) => end.once("close", () => resolve()));

/** Whose certificate is shown there now. */
async function shownAt(port: number): Promise<string> {
  const socket = connectTls({ host: "localhost", port, ca: authority.cert, ALPNProtocols: ["h2"] });
  await once(socket, "secureConnect");
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return String(subject.CN);
}

/** Why nothing can be said there with these options; a server may tell only after the handshake. */
async function whyNot(port: number, options: ConnectionOptions): Promise<string> {
  const socket = connectTls({
    host: "localhost",
    port,
    ca: authority.cert,
    ALPNProtocols: ["h2"],
    ...options,
  });
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  socket.on("end", () => resolve("it hung up")).resume();
  const answer = await promise;
  socket.destroy();
  return answer;
}

describe("with certificates", async () => {
  const files = await writePair(await authority.issue());
  const { certificates } = await open(files);
  const listeners = await startWith(certificates, { pages: { "/healthz": () => ({ body: "well\n" }) } });
  const ca = authority.cert;

  test.each(Object.entries(transports(listeners, { ca })))(
    "%s calls, streams and hears refusals",
    async (_, transport) => {
      const client = createClient(Echo, transport);
      expect(await client.one({ text: "hello" })).toMatchObject({ text: "hello" });
      const counts: number[] = [];
      for await (const { count } of client.down({ text: "hello", count: 3 })) counts.push(count);
      expect(counts).toEqual([1, 2, 3]);
      expect(await refusal(client.one({ text: "refuse" }))).toMatchObject({ code: "FailedPrecondition" });
      const broken = (async () => {
        for await (const note of client.down({ text: "refuse", count: 2 })) counts.push(note.count);
      })();
      expect(await refusal(broken)).toMatchObject({ code: "FailedPrecondition" });
      expect(counts).toEqual([1, 2, 3, 1, 2]);
    },
  );

  test.each([
    "Connect over HTTP/1.1",
    "Connect over HTTP/2",
    "gRPC-Web over HTTP/1.1",
    "gRPC-Web over HTTP/2",
  ])("of more headers than usual those alone are looked at that are read: %s", async (name) => {
    const seen: Headers[] = [];
    const nosy = await startWith(certificates, {
      gate: ({ requestHeader }) => void seen.push(requestHeader),
    });
    const client = createClient(Echo, transports(nosy, { ca })[name] as Transport);
    const read = { authorization: "Bearer key", traceparent: "00-1-2-01", "idempotency-key": "once" };
    for (const count of [10, 50]) {
      const options = { headers: { ...manyHeaders(count), ...read }, timeoutMs: 60_000 };
      expect(await client.one({ text: "hello" }, options)).toMatchObject({ text: "hello" });
    }
    expect(seen.map((headers) => headers.get("grpc-0"))).toEqual(["more", null]);
    for (const [header, value] of Object.entries(read))
      expect(seen.map((headers) => headers.get(header))).toEqual([value, value]);
    const isConnect = name.startsWith("Connect");
    const ofProtocol = isConnect
      ? ["connect-timeout-ms", "connect-protocol-version", "accept-encoding"]
      : ["grpc-timeout", "grpc-accept-encoding"];
    for (const header of ofProtocol)
      expect(seen.map((headers) => headers.get(header))).toEqual([expect.any(String), expect.any(String)]);
  });

  test("a client streams over HTTP/2 on the HTTP port in both directions at once", async () => {
    const client = createClient(Echo, transports(listeners, { ca })["Connect over HTTP/2"] as Transport);
    const heard = Promise.withResolvers<void>();
    async function* notes() {
      yield { text: "one" };
      await heard.promise;
      yield { text: "two" };
    }
    const texts: string[] = [];
    for await (const { text } of client.both(notes())) {
      texts.push(text);
      heard.resolve();
    }
    expect(texts).toEqual(["one", "two"]);
  });

  test("pages are there over both versions of HTTP", async () => {
    const old = requestHttps({ host: "localhost", port: listeners.http.port, path: "/healthz", ca }).end();
    const [{ statusCode, httpVersion }] = await once(old, "response");
    expect([statusCode, httpVersion]).toEqual([200, "1.1"]);
    const session = connectHttp2(`https://localhost:${listeners.http.port}`, { ca });
    const [headers] = await once(session.request({ ":path": "/healthz" }).resume(), "response");
    session.destroy();
    expect(headers[":status"]).toBe(200);
  });

  test.each(["http", "grpc"] as const)("the %s port speaks TLS 1.2, and nothing older", async (name) => {
    const { port } = listeners[name];
    const socket = connectTls({ host: "localhost", port, ca, maxVersion: "TLSv1.2", ALPNProtocols: ["h2"] });
    await once(socket, "secureConnect");
    expect(socket.getProtocol()).toBe("TLSv1.2");
    socket.destroy();
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
    expect(await whyNot(port, old)).toMatch(/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|NO_PROTOCOLS/);
  });

  test.each(["http", "grpc"] as const)("the %s port answers nothing in plain text", async (name) => {
    const socket = connectTcp(listeners[name].port, "localhost").on("error", () => {});
    socket.write("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    let heard = Buffer.alloc(0);
    socket.on("data", (chunk) => (heard = Buffer.concat([heard, chunk])));
    await whenClosed(socket);
    expect(heard.toString("latin1")).not.toContain("HTTP");
  });
});

test("a client certificate of the authority is required where one is named, on both ports", async () => {
  const clients = await createAuthority("CN=authority of clients");
  const files = await writePair(await authority.issue(), clients.cert);
  const listeners = await startWith((await open(files)).certificates);
  const [good, wrong] = [
    await clients.issue({ name: "worker" }),
    await authority.issue({ name: "stranger" }),
  ];
  for (const { port } of [listeners.http, listeners.grpc]) {
    expect(await whyNot(port, {})).toMatch(/CERTIFICATE_REQUIRED|ECONNRESET/);
    expect(await whyNot(port, wrong)).toMatch(/UNKNOWN_CA|ECONNRESET|it hung up/);
  }
  for (const transport of Object.values(transports(listeners, { ca: authority.cert, ...good }))) {
    expect(await createClient(Echo, transport).one({ text: "hello" })).toMatchObject({ text: "hello" });
  }
});

const both = async ({ http, grpc }: Listeners) => [await shownAt(http.port), await shownAt(grpc.port)];

describe("files that change", () => {
  test("by a rename are used for new connections, and open ones stay", async () => {
    const files = await writePair(await authority.issue({ name: "first" }));
    const { certificates, seen } = await open(files);
    const listeners = await startWith(certificates);
    const heard = Promise.withResolvers<void>();
    async function* notes() {
      yield { text: "before" };
      await heard.promise;
      yield { text: "after" };
    }
    const names = ["grpc-js", "Connect over HTTP/2"];
    const all = transports(listeners, { ca: authority.cert });
    const streamOf = (name: string) => createClient(Echo, all[name] as Transport).both(notes());
    const streams = names.map((name) => streamOf(name)[Symbol.asyncIterator]());
    for (const stream of streams) expect((await stream.next()).value?.text).toBe("before");

    const next = await authority.issue({ name: "second", lastsMs: 90 * 60_000 });
    await Promise.all([
      writeFile(`${files.certFile}.new`, next.cert).then(() =>
        rename(`${files.certFile}.new`, files.certFile),
      ),
      writeFile(`${files.keyFile}.new`, next.key).then(() => rename(`${files.keyFile}.new`, files.keyFile)),
    ]);
    await eventually(async () => expect(await both(listeners)).toEqual(["second", "second"]));
    expect(seen()?.isFit).toBe(true);
    expect((seen()?.expiresAt.getTime() ?? 0) - Date.now()).toBeLessThan(91 * 60_000);

    heard.resolve();
    for (const stream of streams) {
      expect((await stream.next()).value?.text).toBe("after");
      expect((await stream.next()).done).toBe(true);
    }
  });

  test("by a switched symbolic link, as those of a Kubernetes secret, are used", async () => {
    const home = await mkdtemp(join(tmpdir(), "callsheet-tls-"));
    stack.defer(() => rm(home, { recursive: true, force: true }));
    const publish = async (version: string, { cert, key }: Pair) => {
      await mkdir(join(home, version));
      await writeFile(join(home, version, "tls.crt"), cert);
      await writeFile(join(home, version, "tls.key"), key);
      await symlink(version, join(home, "..data_tmp"));
      await rename(join(home, "..data_tmp"), join(home, "..data"));
    };
    await publish("..1", await authority.issue({ name: "first" }));
    await symlink("..data/tls.crt", join(home, "tls.crt"));
    await symlink("..data/tls.key", join(home, "tls.key"));
    const files = { certFile: join(home, "tls.crt"), keyFile: join(home, "tls.key") };
    const listeners = await startWith((await open(files)).certificates);
    expect(await both(listeners)).toEqual(["first", "first"]);

    await publish("..2", await authority.issue({ name: "second" }));
    await rm(join(home, "..1"), { recursive: true });
    await eventually(async () => expect(await both(listeners)).toEqual(["second", "second"]));
  });

  test("with another authority of clients refuse those of the one before", async () => {
    const [before, after] = [await createAuthority("CN=before"), await createAuthority("CN=after")];
    const files = await writePair(await authority.issue(), before.cert);
    const { http } = await startWith((await open(files)).certificates);
    const [old, fresh] = [await before.issue(), await after.issue()];
    const status = async (pair: Pair) => {
      const asked = requestHttps({ host: "localhost", port: http.port, ca: authority.cert, ...pair }).end();
      const [{ statusCode }] = await once(asked, "response");
      return statusCode;
    };
    expect(await status(old)).toBe(404);
    await writeFile(files.clientCaFile ?? "", after.cert);
    await eventually(async () => expect(await status(fresh)).toBe(404));
    await expect(status(old)).rejects.toThrow(/ECONNRESET|hang up|UNKNOWN_CA|unknown ca|alert/i);
  });

  test.each([
    [
      "is half written",
      async (files: TlsFiles) => {
        const { cert } = await authority.issue({ name: "second" });
        await writeFile(files.certFile, cert.slice(0, cert.length / 2));
      },
      "TLS_CERT_FILE",
    ],
    [
      "does not match",
      async (files: TlsFiles) => {
        await writeFile(files.keyFile, (await authority.issue({ name: "second" })).key);
      },
      "TLS_KEY_FILE",
    ],
    ["is gone", (files: TlsFiles) => rm(files.keyFile), "TLS_KEY_FILE"],
    [
      "has expired",
      async (files: TlsFiles) => {
        const { cert, key } = await authority.issue({ name: "second", lastsMs: -60_000 });
        await Promise.all([writeFile(files.certFile, cert), writeFile(files.keyFile, key)]);
      },
      "TLS_CERT_FILE",
    ],
    [
      "is not valid yet",
      async (files: TlsFiles) => {
        const { cert, key } = await authority.issue({ name: "second", beginsInMs: 3_600_000 });
        await Promise.all([writeFile(files.certFile, cert), writeFile(files.keyFile, key)]);
      },
      "TLS_CERT_FILE",
    ],
  ] as const)(
    "leave the old pair in use where the new one %s, and it is told once",
    async (_, harm, setting) => {
      const files = await writePair(await authority.issue({ name: "first" }));
      const { certificates, lines, seen } = await open(files);
      const listeners = await startWith(certificates);
      await harm(files);
      await eventually(() => expect(seen()?.isFit).toBe(false));
      expect(await both(listeners)).toEqual(["first", "first"]);

      const { cert, key } = await authority.issue({ name: "third" });
      const looks = lines.length;
      await Promise.all([writeFile(files.certFile, cert), writeFile(files.keyFile, key)]);
      await eventually(async () => expect(await both(listeners)).toEqual(["third", "third"]));
      await eventually(() => expect(seen()?.isFit).toBe(true));
      expect(looks).toBe(1);
      expect(lines[0]).toContain(`those read before stay in use. ${setting}: ${dirname(files.keyFile)}`);
    },
  );
});

/** Reads as the service does, but for a path that hangs while it is held; it counts the readings that do. */
function holding(longestMs: number) {
  let held = Promise.resolve();
  let [hanging, most] = [0, 0];
  const read = async (path: string) => {
    hanging += 1;
    most = Math.max(most, hanging);
    await held;
    hanging -= 1;
    return await readRegularFile(path);
  };
  return {
    reader: createFileReader(read, longestMs),
    most: () => most,
    hanging: () => hanging,
    hold(): () => void {
      const { promise, resolve } = Promise.withResolvers<void>();
      held = promise;
      return () => {
        held = Promise.resolve();
        resolve();
      };
    },
  };
}

describe("a file that hangs when it is read", () => {
  test("is told once, holds one reading at most, and keeps no renewal from coming after it", async () => {
    const files = await writePair(await authority.issue({ name: "first" }), authority.cert);
    const mount = holding(50);
    const { lines, seen, looks } = await open(files, mount.reader);
    const release = mount.hold();
    await eventually(() => expect(seen()?.isFit).toBe(false));
    const before = looks();
    await eventually(() => expect(looks()).toBeGreaterThan(before + 5));
    expect(mount.most()).toBe(1);
    expect(lines).toEqual([
      `The TLS files cannot be used now; those read before stay in use. TLS_CERT_FILE: ${files.certFile} cannot be used: reading it takes longer than 0.05 s.`,
    ]);

    release();
    await eventually(() => expect(seen()?.isFit).toBe(true));
    expect(lines.slice(1)).toEqual(["The TLS files can be used again; they are those in use"]);
    const { cert, key } = await authority.issue({ name: "second" });
    await Promise.all([writeFile(files.certFile, cert), writeFile(files.keyFile, key)]);
    await eventually(() => expect(lines.at(-1)).toContain("are used for new connections"));
  });

  test("is not waited for by who stops", async () => {
    const mount = holding(3_600_000);
    const { certificates } = await open(await writePair(await authority.issue()), mount.reader);
    const release = mount.hold();
    await eventually(() => expect(mount.hanging()).toBe(1));
    await certificates[Symbol.asyncDispose]();
    expect(mount.hanging()).toBe(1);
    release();
  });

  test("as a pipe does is no file, at a start and later, and is read no further", async () => {
    const files = await writePair(await authority.issue({ name: "first" }));
    const { lines, seen } = await open(files);
    execFileSync("mkfifo", [`${files.keyFile}.pipe`]);
    await rename(`${files.keyFile}.pipe`, files.keyFile);
    await eventually(() => expect(seen()?.isFit).toBe(false));
    const sentence = `TLS_KEY_FILE: ${files.keyFile} cannot be used: it is no regular file.`;
    expect(lines).toEqual([`The TLS files cannot be used now; those read before stay in use. ${sentence}`]);
    await expect(openOnce(files)).rejects.toThrow(sentence);

    const { cert, key } = await authority.issue({ name: "second" });
    await writeFile(`${files.keyFile}.new`, key);
    await Promise.all([writeFile(files.certFile, cert), rename(`${files.keyFile}.new`, files.keyFile)]);
    await eventually(() => expect(seen()?.isFit).toBe(true));
  });
});

describe("a start is refused in a sentence that names the setting", async () => {
  const { cert, key } = await authority.issue();
  const other = await authority.issue();
  const encrypted = key.replaceAll("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");

  test.each([
    [
      "a key of another certificate",
      { cert, key: other.key },
      /^TLS_KEY_FILE: \S+ cannot be used: it is the key of another/,
    ],
    ["an encrypted key", { cert, key: encrypted }, /^TLS_KEY_FILE: \S+ cannot be used: the key is encrypted/],
    [
      "a key that is none",
      { cert, key: cert },
      /^TLS_KEY_FILE: \S+ cannot be used: it must hold a whole private key/,
    ],
    [
      "a certificate that is none",
      { cert: key, key },
      /^TLS_CERT_FILE: \S+ cannot be used: it must hold whole/,
    ],
    [
      "a chain that is half there",
      { cert: cert + other.cert.slice(0, 99), key },
      /^TLS_CERT_FILE: \S+ cannot be/,
    ],
  ])("for %s", async (_, pair, sentence) => {
    await expect(openOnce(await writePair(pair))).rejects.toThrow(sentence);
  });

  test("for a file that is not there, one that is a directory, and an authority that is none", async () => {
    const files = await writePair({ cert, key });
    const missing = { ...files, certFile: "/nowhere/tls.crt" };
    await expect(openOnce(missing)).rejects.toThrow(
      "TLS_CERT_FILE: /nowhere/tls.crt cannot be used: there is no such file.",
    );
    await expect(openOnce({ ...files, keyFile: "/" })).rejects.toThrow(
      "TLS_KEY_FILE: / cannot be used: it is a directory.",
    );
    const withoutAuthority = await writePair({ cert, key }, "nobody");
    await expect(openOnce(withoutAuthority)).rejects.toThrow(
      /^TLS_CLIENT_CA_FILE: .* whole certificates in PEM\.$/,
    );
  });
});

const openOnce = (files: TlsFiles) =>
  openCertificates(files, { logger: pino({ level: "silent" }), onLook: () => {} });

const silent = (port: number) => connectTcp(port, "127.0.0.1").on("error", () => {});
const shake = (port: number) =>
  connectTls({ host: "localhost", port, ca: authority.cert }).on("error", () => {});

async function startServer(limits: Parameters<typeof limitHandshakes>[1]) {
  const server = createServer({ ...(await authority.issue()) }, (socket) => socket.on("error", () => {}));
  limitHandshakes(server, limits);
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  stack.defer(() => void server.close());
  return port;
}

describe("a handshake", () => {
  test("that never ends is ended, be it silent or slow, and one that has ended is not", async () => {
    const port = await startServer({ longestMs: 500, most: 100 });
    const good = shake(port);
    await once(good, "secureConnect");
    const slow = silent(port);
    // The beginning of a long ClientHello, a byte at a time.
    const hello = Buffer.concat([Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]), Buffer.alloc(400)]);
    let sent = 0;
    const trickle = setInterval(() => slow.write(hello.subarray(sent, (sent += 1))), 20);
    await Promise.all([whenClosed(silent(port)), whenClosed(slow)]);
    clearInterval(trickle);
    expect(good.destroyed).toBe(false);
    good.destroy();
  });

  test("makes room for newer ones where too many do not end", async () => {
    const port = await startServer({ longestMs: 60_000, most: 20 });
    const flood: Socket[] = [];
    for (let count = 0; count < 60; count += 1) {
      const socket = silent(port);
      await once(socket, "connect");
      flood.push(socket);
    }
    const good = shake(port);
    await once(good, "secureConnect");
    await eventually(() => expect(flood.filter(({ closed }) => !closed).length).toBeLessThanOrEqual(20));
    expect(good.destroyed).toBe(false);
    for (const socket of [...flood, good]) socket.destroy();
  });
});

/** Echoes so many bytes, and notes the answers that did not arrive. */
function noting(bytes: number) {
  const undone: string[] = [];
  const entered = Promise.withResolvers<void>();
  return {
    undone,
    entered: entered.promise,
    one({ text }: Note, context: HandlerContext) {
      deliveryOf(context.values).onFailure(() => void undone.push(text));
      entered.resolve();
      return { text, data: new Uint8Array(bytes) };
    },
  };
}

describe("what bounds a connection holds with TLS, too:", async () => {
  const { certificates } = await open(await writePair(await authority.issue()));
  const types = { http: "application/proto", grpc: "application/grpc" } as const;
  const connectTo = (port: number) =>
    connectHttp2(`https://localhost:${port}`, { ca: authority.cert }).on("error", () => {});
  const headersOf = (name: keyof typeof types) => ({
    ":method": "POST",
    ":path": "/test.v1.Echo/One",
    "content-type": types[name],
    te: "trailers",
  });

  test.each(["http", "grpc"] as const)("250 calls at a time on the %s port", async (name) => {
    let inHand = 0;
    let most = 0;
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const listeners = await startWith(certificates, {
      // As those whose key is known.
      strangers: { admit: ({ begin }) => begin(() => {}), isInUse: () => true },
      async one() {
        inHand += 1;
        most = Math.max(most, inHand);
        await released;
        inHand -= 1;
        return {};
      },
    });
    const session = connectTo(listeners[name].port);
    await once(session, "remoteSettings");
    const body = name === "grpc" ? encodeEnvelope(0, new Uint8Array()) : new Uint8Array();
    const answers = Array.from({ length: 300 }, () => {
      const stream = session.request(headersOf(name)).on("error", () => {});
      stream.end(body);
      return whenClosed(stream.resume());
    });
    await eventually(() => expect(inHand).toBe(250), 20_000);
    release();
    await Promise.all(answers);
    expect(most).toBe(250);
    session.destroy();
  });

  test.each(["http", "grpc"] as const)("the bytes in hand on the %s port", async (name) => {
    const seen = { bytes: 0 };
    const mebibyte = 1_048_576;
    const bytesInHand = createBytesInHand({
      maxBytes: 4 * mebibyte,
      onChange: (bytes) => (seen.bytes = bytes),
    });
    const listeners = await startWith(certificates, { bytesInHand });
    const begin = () => {
      const session = connectTo(listeners[name].port);
      const stream = session.request(headersOf(name)).on("error", () => {});
      // All of it but the last byte.
      const bytes = new Uint8Array(1.5 * mebibyte);
      stream.write((name === "grpc" ? encodeEnvelope(0, bytes) : bytes).subarray(0, bytes.length));
      return { session, stream: stream.resume() };
    };
    const first = begin();
    await eventually(() => expect(seen.bytes).toBeGreaterThan(1.4 * mebibyte));
    const second = begin();
    const [refused] = await once(second.stream, "response");
    expect(refused).toMatchObject(name === "grpc" ? { "grpc-status": "14" } : { ":status": 503 });
    first.session.destroy();
    second.session.destroy();
    await eventually(() => expect(seen.bytes).toBe(0));
  });

  test("the time that headers take over HTTP/1.1, be they silent or slow", async () => {
    const { server } = createHttpServer(
      {
        certificates,
        requestTimeout: 300_000,
        keepAliveTimeout: 5_000,
        connectionMaxAgeMs: Infinity,
        headersTimeout: 300,
      },
      (_, response) => void response.end("here"),
    );
    await once(server.listen(0, "127.0.0.1"), "listening");
    stack.defer(() => void server.close());
    const address = server.address();
    const port = typeof address === "object" ? (address?.port ?? 0) : 0;
    const opened = async () => {
      const socket = connectTls({ host: "localhost", port, ca: authority.cert }).on("error", () => {});
      await once(socket, "secureConnect");
      socket.write("GET / HTTP/1.1\r\nhost: localhost\r\nx-long: ");
      return socket.resume();
    };
    const [still, slow] = [await opened(), await opened()];
    const trickle = setInterval(() => slow.write("x"), 20);
    await Promise.all([whenClosed(still), whenClosed(slow)]);
    clearInterval(trickle);
    expect([still.destroyed, slow.destroyed]).toEqual([true, true]);
  });
});

describe("over HTTP/2 on the HTTP port", async () => {
  const { certificates } = await open(await writePair(await authority.issue()));
  const connectTo = ({ http }: Listeners) =>
    connectHttp2(`https://localhost:${http.port}`, { ca: authority.cert }).on("error", () => {});

  test("a connection that has nothing to do is closed, and one with a stream is not", async () => {
    const listeners = await startWith(certificates, { keepAliveMs: 300 });
    const [idle, busy] = [connectTo(listeners), connectTo(listeners)];
    const stream = busy.request({
      ":method": "POST",
      ":path": "/test.v1.Echo/Both",
      "content-type": "application/connect+json",
    });
    await once(stream, "ready");
    await whenClosed(idle);
    await whenClosed(connectTo(listeners));
    expect(busy.closed).toBe(false);
    busy.destroy();
  });

  test("a request that is broken off is not taken for a whole one", async () => {
    const entered = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<string>();
    const listeners = await startWith(certificates, {
      async up(notes) {
        try {
          for await (const _ of notes) entered.resolve();
          ended.resolve("whole");
        } catch (error) {
          ended.resolve(Code[ConnectError.from(error).code]);
        }
        return {};
      },
    });
    // Node's client would end a stream before it breaks it off.
    const { port } = listeners.http;
    const socket = connectTls({ host: "localhost", port, ca: authority.cert, ALPNProtocols: ["h2"] });
    const session = connectHttp2(`https://localhost:${port}`, { createConnection: () => socket });
    session.on("error", () => {});
    const headers = {
      ":method": "POST",
      ":path": "/test.v1.Echo/Up",
      "content-type": "application/connect+json",
    };
    const stream = session.request(headers).on("error", () => {});
    stream.write(encodeEnvelope(0, new TextEncoder().encode('{"text":"one"}')));
    await entered.promise;
    socket.destroy();
    expect(await ended.promise).toBe("Canceled");
  });

  test.each([
    ["small", 100],
    ["larger than what is read at once", 50_000],
  ])("requests that are refused before they are read leave nothing on it: %s", async (__, bytes) => {
    const listeners = await startWith(certificates, {
      gate() {
        throw new ConnectError("who are you?", Code.Unauthenticated);
      },
    });
    const session = connectTo(listeners);
    const headers = { ":method": "POST", ":path": "/test.v1.Echo/One", "content-type": "application/proto" };
    const statuses = new Set<unknown>();
    // More than one connection has at a time.
    for (let count = 0; count < 300; count += 1) {
      const stream = session.request(headers).on("error", () => {});
      stream.resume().end(Buffer.alloc(bytes));
      const closed = once(stream, "close");
      stream.on("response", (answer) => statuses.add(answer[":status"]));
      await closed;
      statuses.add(stream.rstCode);
    }
    expect([...statuses]).toEqual([401, constants.NGHTTP2_NO_ERROR]);
    session.destroy();
  });

  test("an answer that is written is not undone, not even by a stop", async () => {
    const { undone, one } = noting(300_000);
    const listeners = await startWith(certificates, { one });
    const client = createClient(
      Echo,
      transports(listeners, { ca: authority.cert })["Connect over HTTP/2"] as Transport,
    );
    for (let turn = 0; turn < 10; turn += 1) {
      await Promise.all(Array.from({ length: 10 }, () => client.one({ text: "call" })));
    }
    await Promise.all([listeners.http.stop(0), listeners.grpc.stop(0)]);
    expect(undone).toEqual([]);
  });

  test.each(["its stream is broken off", "its connection is gone"])(
    "an answer that its client does not read is undone when %s",
    async (end) => {
      const { undone, entered, one } = noting(4_000_000);
      const session = connectTo(await startWith(certificates, { one }));
      const headers = { ":method": "POST", ":path": "/test.v1.Echo/One", "content-type": "application/json" };
      const stream = session.request(headers).on("error", () => {});
      stream.end('{"text":"call"}');
      await Promise.all([entered, once(stream, "response")]);
      if (end === "its connection is gone") session.destroy();
      else stream.close(constants.NGHTTP2_CANCEL);
      await eventually(() => expect(undone).toEqual(["call"]));
      session.destroy();
    },
  );

  test("an answer that breaks off does not look whole", async () => {
    const { promise: whole, resolve } = Promise.withResolvers<string>();
    const listeners = await startWith(certificates, {
      pages: {},
      door: () => ({
        paths: [],
        takes: (path) => path === "/broken",
        authorizationOf: () => "",
        async answer(_, response) {
          response.writeHead(200).write("half of it");
          response.destroy();
        },
      }),
    });
    const session = connectTo(listeners);
    const stream = session.request({ ":path": "/broken" }).resume();
    stream.on("error", () => {}).on("close", () => resolve(String(stream.rstCode)));
    expect(await whole).toBe(String(constants.NGHTTP2_INTERNAL_ERROR));
    session.destroy();
  });
});
