import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { serverAccount } from "../../../src/embedded/account.ts";
import { chooseDataDirectory } from "../../../src/embedded/data-directory.ts";
import { findPostgresBinaries } from "../../../src/embedded/postgres/postgres-binaries.ts";
import { run, serverEnvironment } from "../../../src/embedded/run.ts";
import { freePort } from "../../../src/embedded/server-process.ts";
import { eventually } from "../eventually.ts";

/** Where a Postgres has its programs, and the environment that they need. */
export type Binaries = { readonly directory: string; readonly env: NodeJS.ProcessEnv };

/** A Postgres of a test's own, which it may configure, copy, kill and start again as it likes. */
export type PostgresServer = AsyncDisposable & {
  readonly port: number;
  /** Where its data are, which belong to the account that it runs as. */
  readonly data: string;
  /** As a superuser. */
  readonly url: string;
  query(text: string, where?: { database: string }): Promise<Record<string, unknown>[]>;
  /** Writes a file into its data. */
  write(name: string, text: string): void;
  /** Ends it as a loss of power would, but for its shared memory, which it gives back. */
  kill(): Promise<void>;
  /** Ends it in good order. */
  stop(): Promise<void>;
  start(): Promise<void>;
  log(): Promise<string>;
};

const superuser = "callsheet";

async function embedded(data: string): Promise<Binaries> {
  const root = await findPostgresBinaries(serverAccount(data), chooseDataDirectory(undefined), () => {});
  return { directory: join(root, "bin"), env: serverEnvironment() };
}

/** What the server does not wait for: nobody pulls this machine's plug. */
const hasty = { fsync: "off" };

/** Starts one with these settings, on empty data or on a copy of those of one that is stopped. */
export async function startPostgresServer(options: {
  /** The embedded one, if nothing else is said. */
  binaries?: Binaries;
  settings?: Record<string, string>;
  copyOf?: PostgresServer;
  isStandby?: "standby";
}): Promise<PostgresServer> {
  const { settings = {}, copyOf } = options;
  await using stack = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), "callsheet-postgres-"));
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  const data = join(directory, "data");
  chmodSync(directory, 0o755);
  const account = serverAccount(data);
  const own = (file: string) => account && chownSync(file, account.uid, account.gid);
  const { directory: binaries, env } = options.binaries ?? (await embedded(data));
  if (copyOf === undefined) {
    mkdirSync(data, { mode: 0o700 });
    own(data);
    const how = ["--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust", "--no-sync"];
    const made = await run(join(binaries, "initdb"), ["-D", data, "-U", superuser, ...how], { account, env });
    if (!made.ok) throw new Error(made.output);
  } else {
    const copied = await run("cp", ["-a", copyOf.data, data]);
    if (!copied.ok) throw new Error(copied.output);
  }
  const port = await freePort();
  const args = Object.entries({
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    max_connections: "200",
    ...hasty,
    ...settings,
  }).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const logFile = join(directory, "log");
  const url = `postgres://${superuser}@127.0.0.1:${port}/postgres`;
  let child: ReturnType<typeof spawn> | undefined;

  const server = {
    port,
    data,
    url,
    async query(text: string, { database = "postgres" } = {}) {
      const client = new Client({ connectionString: url.replace(/postgres$/, database) });
      client.on("error", () => {});
      try {
        await client.connect();
        return (await client.query<Record<string, unknown>>(text)).rows;
      } finally {
        await client.end().catch(() => {});
      }
    },
    write(name: string, text: string) {
      const file = join(data, name);
      writeFileSync(file, text, { mode: 0o600 });
      own(file);
    },
    async start() {
      const log = openSync(logFile, "a");
      child = spawn(join(binaries, "postgres"), ["-D", data, "-p", String(port), ...args], {
        ...account,
        env,
        cwd: "/",
        stdio: ["ignore", log, log],
      });
      await eventually(() => server.query("select 1"), 30_000).catch(async (error: unknown) => {
        throw new Error(await server.log(), { cause: error });
      });
    },
    kill: () => end("SIGQUIT"),
    stop: () => end("SIGINT"),
    log: () => readFile(logFile, "utf8"),
  };

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }

  stack.defer(() => end("SIGQUIT"));
  if (options.isStandby === "standby") server.write("standby.signal", "");
  await server.start();
  const running = stack.move();
  return { ...server, [Symbol.asyncDispose]: () => running.disposeAsync() };
}
