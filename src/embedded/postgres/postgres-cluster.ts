import { randomBytes } from "node:crypto";
import { chown, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Account } from "../account.ts";
import { lastComplaint, run } from "../run.ts";
import { makeWholeDirectory } from "../whole-directory.ts";

/** A database cluster and the password of its superuser: they are made together, and once. */
export type Cluster = { readonly data: string; readonly passwordFile: string };

export const role = "callsheet";
export const database = "callsheet";

export function clusterIn(directory: string): Cluster {
  return { data: join(directory, "data"), passwordFile: join(directory, "password") };
}

/** Makes the cluster with its empty database unless it is there; one whose making was interrupted is made anew. */
export async function makeCluster(
  directory: string,
  binaries: string,
  account: Account | undefined,
): Promise<void> {
  await makeWholeDirectory(directory, async (fresh) => {
    const { data, passwordFile } = clusterIn(fresh);
    await mkdir(data, { mode: 0o700 });
    await writeFile(passwordFile, randomBytes(32).toString("hex"), { mode: 0o600 });
    if (account) {
      for (const path of [data, passwordFile]) await chown(path, account.uid, account.gid);
    }
    const tool = async (name: string, args: string[], input = ""): Promise<void> => {
      const { ok, output } = await run(join(binaries, "bin", name), args, { account, input });
      if (!ok) throw new Error(`Postgres could not make its database (${lastComplaint(output)})`);
    };
    const access = [`--username=${role}`, "--auth=scram-sha-256", `--pwfile=${passwordFile}`];
    await tool("initdb", [
      `--pgdata=${data}`,
      ...access,
      "--encoding=UTF8",
      "--locale=C",
      "--locale-provider=builtin",
      "--builtin-locale=C.UTF-8",
    ]);
    const alone = ["--single", "-D", data, "-c", "exit_on_error=on", "template1"];
    await tool("postgres", alone, `create database ${database}\n`);
  });
}

/** What `postmaster.pid` says of the server on this data; undefined unless it says that it takes connections. */
export async function readPostmaster(data: string): Promise<{ pid: number; port: number } | undefined> {
  const text = await readFile(join(data, "postmaster.pid"), "utf8").catch(() => "");
  const lines = text.split("\n");
  if (lines[7]?.trim() !== "ready") return undefined;
  return { pid: Number(lines[0]), port: Number(lines[3]) };
}
