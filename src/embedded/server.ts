import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { isHeld, makeLifeline } from "./lifeline.ts";
import { lastComplaint } from "./run.ts";
import { type Command, freePort, sendSignal, spawnDetached } from "./server-process.ts";

export type EmbeddedServer = AsyncDisposable & { readonly url: string };

export type EmbeddedOptions = {
  readonly dataDirectory: string;
  readonly say: (line: string) => void;
  /** If given, a server that dies is started again, and this is called with the reason if it cannot be. */
  readonly onLost?: (error: Error) => void;
  /** From then on none is started again. */
  readonly stopping?: AbortSignal;
  /** Where Redis is unpacked if it is not installed; several data directories may share it. */
  readonly packageDirectory?: string;
};

/** A kind of server with its own directory, in which its log and its lifeline are. */
export type Server = {
  readonly name: string;
  readonly directory: string;
  /** Where what it must not lose is. */
  readonly data: string;
  /** Each is sent when the one before was not enough. */
  readonly stopSignals: readonly NodeJS.Signals[];
  /** Asks what listens who it is; undefined unless it is the server of this directory and ready for work. */
  readonly probe: () => Promise<LiveServer | undefined>;
};

export type LiveServer = { readonly url: string; readonly pid: number };

/** The command that starts a server on a port. */
export type CommandFor = (port: number) => Promise<Command>;

/** Generous: after a crash Postgres first replays up to 1 GB of log, and Redis reads its whole file. */
const readyTimeoutMs = 120_000;
/** Generous too: a fast shutdown writes what is in memory to a disk that may be slow. */
const stopTimeoutMs = 30_000;
const pollIntervalMs = 10;

export const lifelineOf = (server: Server): string => join(server.directory, "lifeline");
export const logOf = (server: Server): string => join(server.directory, "log");

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

/** Starts the server on a free port and waits until it is ready for work. Its log starts empty. */
export async function launch(server: Server, commandFor: CommandFor): Promise<LiveServer> {
  await rm(logOf(server), { force: true });
  // Somebody may take the free port before the server does.
  for (let attemptsLeft = 5; ; attemptsLeft -= 1) {
    try {
      return await launchOn(await freePort(), server, commandFor);
    } catch (error) {
      if (attemptsLeft === 0 || !(error instanceof PortTaken)) throw error;
    }
  }
}

class PortTaken extends Error {}

/** The same on this port. If it throws, and so if the signal ends it, it leaves no process behind. */
export async function launchOn(
  port: number,
  server: Server,
  commandFor: CommandFor,
  signal?: AbortSignal,
): Promise<LiveServer> {
  await makeLifeline(lifelineOf(server));
  const command = await commandFor(port);
  signal?.throwIfAborted();
  const logged = await readLog(server);
  const pid = await spawnDetached(command, lifelineOf(server), logOf(server));
  const live = await untilReady(server, signal);
  if (live) return live;
  const running = isHeld(lifelineOf(server));
  await stop(server, pid);
  const log = (await readLog(server)).slice(logged.length);
  const sentence = (reason: string) => `${server.name} did not start (${reason}): see ${logOf(server)}`;
  if (/address already in use/i.test(log)) throw new PortTaken(sentence(`port ${port} is in use`));
  throw new Error(sentence(running ? "it does not answer on 127.0.0.1" : lastComplaint(log)));
}

const readLog = (server: Server): Promise<string> => readFile(logOf(server), "utf8").catch(() => "");

/** Undefined if it ends instead, takes too long, or nobody waits for it any more. */
async function untilReady(server: Server, signal?: AbortSignal): Promise<LiveServer | undefined> {
  let live: LiveServer | undefined;
  await eventually(readyTimeoutMs, async () => {
    live = await findLive(server);
    return live !== undefined || !isHeld(lifelineOf(server)) || signal?.aborted === true;
  });
  return live;
}

/** Ends the server and waits until no process of it is left. */
export async function stop(server: Server, pid: number): Promise<void> {
  // Somebody took its directory away; nothing that it writes now would be found again.
  if (!existsSync(lifelineOf(server))) return sendSignal(pid, "SIGKILL");
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
