import { chmod, chown, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { serverAccount } from "../../../src/embedded/account.ts";
import { freePort } from "../../../src/embedded/server-process.ts";
import { type Program, findDebianProgram, startProgram } from "./debian-program.ts";
import { eventually } from "../eventually.ts";

export type PgBouncer = AsyncDisposable & {
  /** The URL through the pooler. */
  readonly url: string;
};

export const findPgBouncer = () =>
  findDebianProgram({ packageName: "pgbouncer", file: "usr/sbin/pgbouncer", versionFlag: "--version" });

/** Starts one before the database of this URL, with these settings beside those that say where it is. */
export async function startPgBouncer(
  binary: Program,
  url: string,
  settings: Record<string, string>,
): Promise<PgBouncer> {
  await using stack = new AsyncDisposableStack();
  const { hostname, port, username, password } = new URL(url);
  const directory = await mkdtemp(join(tmpdir(), "callsheet-pgbouncer-"));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const listenPort = await freePort();
  const all = {
    listen_addr: "127.0.0.1",
    listen_port: String(listenPort),
    unix_socket_dir: "",
    auth_type: "plain",
    auth_file: join(directory, "users.txt"),
    ...settings,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}`);
  const file = join(directory, "pgbouncer.ini");
  await writeFile(all.auth_file, `"${username}" "${decodeURIComponent(password)}"\n`);
  await writeFile(
    file,
    ["[databases]", `* = host=${hostname} port=${port}`, "[pgbouncer]", ...lines].join("\n"),
  );
  // It refuses to run as root.
  const account = serverAccount(file);
  await chmod(directory, 0o755);
  if (account !== undefined) await chown(directory, account.uid, account.gid);
  stack.use(startProgram(binary, ["-q", file], account));
  const through = new URL(url);
  through.host = `127.0.0.1:${listenPort}`;
  await eventually(async () => {
    const client = new Client({ connectionString: through.href });
    client.on("error", () => {});
    await client.connect();
    await client.end();
  }, 10_000);
  const running = stack.move();
  return { url: through.href, [Symbol.asyncDispose]: () => running.disposeAsync() };
}
