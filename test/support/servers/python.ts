import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { libraryDirectories, openApt, unpackAll } from "../../../src/embedded/debian-packages.ts";
import { run, serverEnvironment } from "../../../src/embedded/run.ts";
import { readDocument, root as repository } from "../readme.ts";

/** Python with grpcio, and what makes its clients. */
export type Python = AsyncDisposable & {
  readonly command: string;
  /** Takes the place of `python3 -m grpc_tools.protoc`. */
  readonly protoc: string;
  readonly env: Record<string, string>;
};

const packages = [
  "python3-grpcio",
  "python3-protobuf",
  "protobuf-compiler",
  "protobuf-compiler-grpc",
  "libprotobuf-dev",
];

/** Whether the Python on the PATH has grpcio, and tools that are new enough for `optional` fields. */
async function hasTools(env: Record<string, string>): Promise<boolean> {
  const folders = ["proto/third_party", "proto"].flatMap((folder) => ["-I", join(repository, folder)]);
  const compile = [...folders, "--descriptor_set_out=/dev/null", "callsheet/v1/access_service.proto"];
  const library = await run("python3", ["-c", "import grpc"], { env });
  return library.ok && (await run("python3", ["-m", "grpc_tools.protoc", ...compile], { env })).ok;
}

/**
 * The Python on the PATH if it has such tools; else Debian's or Ubuntu's own packages, downloaded and unpacked for
 * this once, without root and without installing them. Undefined where there is neither.
 */
export async function findPython(): Promise<Python | undefined> {
  const env = { PATH: String(process.env["PATH"]) };
  if (await hasTools(env)) {
    const protoc = "python3 -m grpc_tools.protoc";
    return { command: "python3", protoc, env, async [Symbol.asyncDispose]() {} };
  }
  await using stack = new AsyncDisposableStack();
  const workspace = await mkdtemp(join(tmpdir(), "callsheet-python-"));
  stack.defer(() => rm(workspace, { recursive: true, force: true }));
  const root = join(workspace, "root");
  const apt = await openApt(join(workspace, "apt"));
  await apt("update");
  const download = await apt(
    "install",
    "--download-only",
    "--no-install-recommends",
    "--reinstall",
    ...packages,
  );
  if (!download.ok) return undefined;
  await unpackAll(join(workspace, "apt/cache/archives"), root);
  const unpacked = {
    ...serverEnvironment(),
    ...env,
    LD_LIBRARY_PATH: libraryDirectories(root).join(":"),
    PYTHONPATH: join(root, "usr/lib/python3/dist-packages"),
  };
  for (const command of [join(root, "usr/bin/python3"), "/usr/bin/python3"]) {
    const usable = await run(command, ["-c", "import grpc, google.protobuf"], { env: unpacked });
    if (!usable.ok) continue;
    const running = stack.move();
    const plugin = join(root, "usr/bin/grpc_python_plugin");
    return {
      command,
      protoc: `${join(root, "usr/bin/protoc")} --plugin=protoc-gen-grpc_python=${plugin}`,
      env: unpacked,
      [Symbol.asyncDispose]: () => running.disposeAsync(),
    };
  }
  return undefined;
}

/** Makes the client in this directory, as the document says; answers the environment that finds it. */
export async function makePythonClient(
  { protoc, env }: Python,
  directory: string,
): Promise<Record<string, string>> {
  await symlink(join(repository, "proto"), join(directory, "proto"));
  const line = readDocument("docs/workers.md").code("## Python", "sh");
  const made = await run(
    "sh",
    ["-euc", `cd ${directory} && ${line.replace("python3 -m grpc_tools.protoc", protoc)}`],
    { env },
  );
  if (!made.ok) throw new Error(`the Python client cannot be made as docs/workers.md says: ${made.output}`);
  return { ...env, PYTHONPATH: `${env["PYTHONPATH"] ?? ""}:${directory}` };
}
