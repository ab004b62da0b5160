import type { Logger } from "pino";
import { createAlarm } from "../timing/alarm.ts";
import { jittered } from "../timing/loop.ts";
import type { Addresses } from "../postgres/connections/check-connections.ts";
import { type UrlVariable, tryConnecting } from "../postgres/connections/fitness.ts";
import { obstacleOf } from "../postgres/connections/obstacle.ts";
import { startServiceLoop } from "./loops.ts";

/**
 * Whether further connections to Postgres can be made. Those that there are go on where none can: after a change of the
 * password, of pg_hba.conf or of a file of the URL, or where the role has all that it may have.
 */
export type ConnectionWatch = AsyncDisposable & {
  /** Says that one over DATABASE_URL could not be made. One is tried at once, unless that is known. */
  noteRefused(): void;
  /** Says that one was made. */
  noteMade(): void;
  /** False from a refusal on, until one over DATABASE_URL could be made again. */
  mayConnect(): boolean;
  /** Why none can be made over DATABASE_URL, in a sentence. */
  obstacle(): string | undefined;
  /** True if nothing is known to be in the way, over either URL. */
  isWell(): boolean;
};

/** A replica with little to do needs no new connection for long, and the first one in a rush. */
const pauseMs = 10_000;

/** Who counts refused logins is not to see many of them. */
const shortestRetryMs = 250;
const longestRetryMs = 2_000;

/** Makes a connection every ten seconds, and gives it up; what is in the way then is a line in the log, once. */
export function startConnectionWatch({
  databaseUrl,
  directUrl,
  logger,
}: Addresses & { logger: Logger }): ConnectionWatch {
  const urls = new Map<UrlVariable, string>([["DATABASE_URL", databaseUrl]]);
  if (directUrl !== databaseUrl) urls.set("DATABASE_DIRECT_URL", directUrl);
  const obstacles = new Map<UrlVariable, string>();
  const alarm = createAlarm();
  let isRefused = false;
  let retryMs = shortestRetryMs;

  function note(variable: UrlVariable, sentence: string | undefined): void {
    const before = obstacles.get(variable);
    if (sentence === before) return;
    if (sentence === undefined) {
      obstacles.delete(variable);
      logger.info(`New connections to Postgres can be made again (${variable})`);
    } else {
      obstacles.set(variable, sentence);
      logger.error(`No new connection to Postgres can be made; those that there are go on. ${sentence}`);
    }
  }

  async function look(variable: UrlVariable, url: string, signal: AbortSignal): Promise<void> {
    const found = await tryConnecting(url, variable, signal).then(
      () => undefined,
      (error: unknown) => obstacleOf(error, url, variable).sentence,
    );
    if (!signal.aborted) note(variable, found);
  }

  const loop = startServiceLoop("the watch over new connections to Postgres", {
    async pass({ signal }) {
      for (const [variable, url] of urls) await look(variable, url, signal);
      isRefused = obstacles.has("DATABASE_URL");
      retryMs = obstacles.size === 0 ? shortestRetryMs : Math.min(2 * retryMs, longestRetryMs);
      return jittered(obstacles.size === 0 ? pauseMs : retryMs);
    },
    alarm,
    retryMs: pauseMs,
    logger,
  });

  return {
    noteRefused() {
      if (isRefused) return;
      isRefused = true;
      alarm.ring();
    },
    noteMade() {
      if (!isRefused) return;
      isRefused = false;
      alarm.ring();
    },
    mayConnect: () => !isRefused,
    obstacle: () => obstacles.get("DATABASE_URL"),
    isWell: () => obstacles.size === 0,
    [Symbol.asyncDispose]: () => loop[Symbol.asyncDispose](),
  };
}
