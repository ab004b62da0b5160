import { existsSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { isHeld } from "./lifeline.ts";
import {
  type CommandFor,
  type EmbeddedOptions,
  type EmbeddedServer,
  launchOn,
  lifelineOf,
  type LiveServer,
  logOf,
  type Server,
  stop,
} from "./server.ts";
import { sendSignal } from "./server-process.ts";

const watchIntervalMs = 500;
/** Before each attempt to start a server again; the longer one after it has lived for a while is the shortest again. */
const shortestPauseMs = 100;
const longestPauseMs = 10_000;
const whileMs = 60_000;
/** A port may be taken for a moment; a server that does not start for so long will not. */
const patienceMs = 60_000;

/**
 * Says so if the server ends before it is disposed of and, if `onLost` is given, starts it again, on its port and its
 * data. Disposing stops it and waits until no process of it is left.
 */
export function own(
  server: Server,
  live: LiveServer,
  commandFor: CommandFor,
  { say, onLost, stopping }: EmbeddedOptions,
): EmbeddedServer {
  const ending = new AbortController();
  const signal = AbortSignal.any([ending.signal, ...(stopping ? [stopping] : [])]);
  let pid: number | undefined = live.pid;

  const gone = () => new Error(`embedded ${server.name} cannot go on: its data is gone from ${server.data}`);

  async function untilDead(): Promise<void> {
    while (isHeld(lifelineOf(server))) await delay(watchIntervalMs, undefined, { signal, ref: false });
    if (pid !== undefined && !existsSync(lifelineOf(server))) {
      // Somebody took its directory away, but perhaps not its life.
      sendSignal(pid, "SIGKILL");
      throw gone();
    }
    pid = undefined;
    say(`embedded ${server.name} has stopped by itself: see ${logOf(server)}`);
  }

  async function startAgain(pauses: Iterator<number, number>): Promise<void> {
    for (const diedAtMs = performance.now(); ;) {
      await delay(pauses.next().value, undefined, { signal });
      if (!existsSync(server.data)) throw gone();
      try {
        ({ pid } = await launchOn(Number(new URL(live.url).port), server, commandFor, signal));
        return say(`embedded ${server.name} runs again`);
      } catch (error) {
        signal.throwIfAborted();
        if (performance.now() - diedAtMs > patienceMs) throw error;
        say(`${error instanceof Error ? error.message : String(error)}; it is tried again`);
      }
    }
  }

  async function keep(): Promise<void> {
    let pauses = growingPauses();
    for (;;) {
      const aliveAtMs = performance.now();
      await untilDead();
      if (onLost === undefined) return;
      if (performance.now() - aliveAtMs > whileMs) pauses = growingPauses();
      await startAgain(pauses);
    }
  }

  const kept = keep().catch((error: unknown) => {
    if (signal.aborted) return;
    const reason = error instanceof Error ? error : new Error(String(error));
    if (onLost) onLost(reason);
    else say(reason.message);
  });
  return {
    url: live.url,
    async [Symbol.asyncDispose]() {
      ending.abort();
      await kept;
      if (pid !== undefined) await stop(server, pid);
    },
  };
}

function* growingPauses(): Generator<number, number> {
  for (let pauseMs = shortestPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) yield pauseMs;
}
