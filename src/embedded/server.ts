import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { isHeld, makeLifeline } from "./lifeline.ts";
import { lastComplaint } from "./run.ts";
import { type Command, freePort, sendSignal, spawnDetached } from "./server-process.ts";

export type EmbeddedServer = AsyncDisposable & { readonly url: string };

export type EmbeddedOptions = {
  readonly dataDirectory: string;
  readonly say: (line: string) => void;
  /** Where Redis is unpacked if it is not installed; several data directories may share it. */
  readonly packageDirectory?: string;
};

/** A kind of server with its own directory, in which its log and its lifeline are. */
export type Server = {
  readonly name: string;
  readonly directory: string;
  /** Each is sent when the one before was not enough. */
  readonly stopSignals: readonly NodeJS.Signals[];
  /** Asks what listens who it is; undefined unless it is the server of this directory and ready for work. */
  readonly probe: () => Promise<LiveServer | undefined>;
};

export type LiveServer = { readonly url: string; readonly pid: number };

/** Generous: after a crash Postgres first replays up to 1 GB of log, and Redis reads its whole file. */
const readyTimeoutMs = 120_000;
/** Generous too: a fast shutdown writes what is in memory to a disk that may be slow. */
const stopTimeoutMs = 30_000;
const pollIntervalMs = 10;
const watchIntervalMs = 500;

const lifelineOf = (server: Server): string => join(server.directory, "lifeline");
const logOf = (server: Server): string => join(server.directory, "log");

/** The server that already runs in this directory and is ready for work. */
export async function findLive(server: Server): Promise<LiveServer | undefined> {
  return isHeld(lifelineOf(server)) ? server.probe() : undefined;
}

/** The server that a killed owner left running, once it is ready; undefined once no process of it is left. */
export async function adoptLive(server: Server): Promise<LiveServer | undefined> {
  const live = await untilReady(server);
  if (live || !isHeld(lifelineOf(server))) return live;
  throw new Error(
    `the ${server.name} that an earlier run left in ${server.directory} neither answers nor ends: end it, then start again`,
  );
}

/** Starts the server on a free port and waits until it is ready for work. */
export async function launch(
  server: Server,
  commandFor: (port: number) => Promise<Command>,
): Promise<LiveServer> {
  await makeLifeline(lifelineOf(server));
  // Somebody may take the free port before the server does.
  for (let attemptsLeft = 5; ; attemptsLeft -= 1) {
    const pid = await spawnDetached(await commandFor(await freePort()), lifelineOf(server), logOf(server));
    const live = await untilReady(server);
    if (live) return live;
    const running = isHeld(lifelineOf(server));
    await stop(server, pid);
    const log = await readFile(logOf(server), "utf8");
    if (attemptsLeft > 0 && /address already in use/i.test(log)) continue;
    const reason = running ? "it does not answer on 127.0.0.1" : lastComplaint(log);
    throw new Error(`${server.name} did not start (${reason}): see ${logOf(server)}`);
  }
}

/** Undefined if it ends instead, or takes too long. */
async function untilReady(server: Server): Promise<LiveServer | undefined> {
  let live: LiveServer | undefined;
  await eventually(readyTimeoutMs, async () => {
    live = await findLive(server);
    return live !== undefined || !isHeld(lifelineOf(server));
  });
  return live;
}

/** Says so if the server ends before it is disposed of; disposing stops it and waits until no process of it is left. */
export function own(server: Server, live: LiveServer, say: (line: string) => void): EmbeddedServer {
  const watch = setInterval(() => {
    if (isHeld(lifelineOf(server))) return;
    clearInterval(watch);
    say(`embedded ${server.name} has stopped by itself: see ${logOf(server)}`);
  }, watchIntervalMs);
  watch.unref();
  return {
    url: live.url,
    async [Symbol.asyncDispose]() {
      clearInterval(watch);
      await stop(server, live.pid);
    },
  };
}

async function stop(server: Server, pid: number): Promise<void> {
  for (const signal of server.stopSignals) {
    if (!isHeld(lifelineOf(server))) return;
    sendSignal(pid, signal);
    if (await eventually(stopTimeoutMs, async () => !isHeld(lifelineOf(server)))) return;
  }
  throw new Error(`embedded ${server.name} (process ${pid}) cannot be stopped: see ${logOf(server)}`);
}

/** Whether the condition came true in time. */
async function eventually(timeoutMs: number, condition: () => Promise<boolean>): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) return false;
    await delay(pollIntervalMs);
  }
  return true;
}
