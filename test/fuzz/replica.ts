import { join } from "node:path";
import { startProgram } from "../support/command.ts";
import { eventually } from "../support/eventually.ts";

const mebibyte = 1024 * 1024;

/** A replica in a process of its own, that says how its heap is when it is asked. */
export async function startMeasuredReplica(settings: Record<string, string>) {
  await using stack = new AsyncDisposableStack();
  const program = stack.use(
    startProgram("src/main.ts", {
      NODE_OPTIONS: `--expose-gc --import=${join(import.meta.dirname, "heap-on-signal.ts")}`,
      PORT: "0",
      GRPC_PORT: "0",
      ...settings,
    }),
  );
  const { said, child } = program;
  const [port, grpcPort] = await eventually(() => {
    const ports = /^callsheet ready: \S+:(\d+) grpc\S+:(\d+)\n/m.exec(said.stdout);
    if (ports === null) throw new Error(`it is not ready: ${said.stderr}`);
    return [Number(ports[1]), Number(ports[2])] as const;
  }, 30_000);

  const running = stack.move();
  return {
    port,
    grpcPort,
    /** What it has said so far. */
    said: () => said.stdout + said.stderr,
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    /** Its heap in MB, without garbage. */
    async heap(): Promise<number> {
      const before = said.stdout.length;
      child.kill("SIGUSR2");
      return await eventually(() => {
        const found = /heap (\d+)\n/.exec(said.stdout.slice(before));
        if (found === null) throw new Error("it does not say how its heap is");
        return Math.round(Number(found[1]) / mebibyte);
      }, 30_000);
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
