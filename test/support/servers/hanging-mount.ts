import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A file system whose server never answers, as that of a network that is away; who opens a file of it waits. */
export type HangingMount = AsyncDisposable & { readonly path: string };

/** Mounts one that asks this program, which says nothing; and takes it away when its input ends. */
const program = `
import ctypes, os, sys
path = sys.argv[1].encode()
libc = ctypes.CDLL(None, use_errno=True)
device = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
if libc.mount(b"callsheet-test", path, b"fuse", 0, options) != 0:
    sys.exit(1)
print("mounted", flush=True)
sys.stdin.read()
libc.umount2(path, 2)
`;

/** Undefined where this user may not mount, or there is no Python. */
export async function mountHanging(): Promise<HangingMount | undefined> {
  const path = await mkdtemp(join(tmpdir(), "callsheet-hanging-"));
  const server = spawn("python3", ["-c", program, path], { stdio: ["pipe", "pipe", "ignore"] });
  const ended = once(server, "close").catch(() => {});
  const mounted = await Promise.race([once(server.stdout, "data").then(() => true), ended.then(() => false)]);
  const end = async () => {
    server.stdin.end();
    await ended;
    await rm(path, { recursive: true, force: true });
  };
  if (!mounted) return void (await end());
  return { path, [Symbol.asyncDispose]: end };
}
