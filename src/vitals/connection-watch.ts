import type { Logger } from "pino";
import { jittered } from "../timing/loop.ts";
import type { Addresses } from "../postgres/connections/check-connections.ts";
import { type UrlVariable, checkDatabase } from "../postgres/connections/fitness.ts";
import { obstacleOf } from "../postgres/connections/obstacle.ts";
import { startServiceLoop } from "./loops.ts";

/**
 * Whether further connections to Postgres can be made and used. Those that there are go on where none can: after a
 * change of the password, of pg_hba.conf or of a file of the URL, or where the role has all that it may have.
 */
export type ConnectionWatch = AsyncDisposable & {
  /** Says that one was made over DATABASE_URL: what the last look found there holds no more. */
  noteMade(): void;
  /** Why none can be made over DATABASE_URL, in a sentence. */
  obstacle(): string | undefined;
  /** True if nothing is known to be in the way, over either URL. */
  isWell(): boolean;
};

const pauseMs = 10_000;

/** Who counts refused logins is not to see many of them. */
const retryMs = 2_000;

/**
 * Makes a connection over each URL every ten seconds, and gives it up. What is in the way is a line in the log, once.
 * No call waits for what it finds.
 */
export function startConnectionWatch({ databaseUrl, directUrl }: Addresses, logger: Logger): ConnectionWatch {
  const isBesideDirect = directUrl !== databaseUrl;
  const urls = new Map<UrlVariable, string>([["DATABASE_URL", databaseUrl]]);
  if (isBesideDirect) urls.set("DATABASE_DIRECT_URL", directUrl);
  const obstacles = new Map<UrlVariable, string>();
  let made = 0;
  let madeBeforeLook = 0;

  function note(variable: UrlVariable, sentence: string | undefined): void {
    if (sentence === obstacles.get(variable)) return;
    if (sentence === undefined) {
      obstacles.delete(variable);
      logger.info(`New connections to Postgres can be made again (${variable})`);
    } else {
      obstacles.set(variable, sentence);
      logger.error(`No new connection to Postgres can be used. ${sentence}`);
    }
  }

  async function look(variable: UrlVariable, url: string, signal: AbortSignal): Promise<void> {
    const use = { isBesideDirect: isBesideDirect && variable === "DATABASE_URL" };
    const found = await checkDatabase(url, variable, use, signal).then(
      () => undefined,
      (error: unknown) => obstacleOf(error, url, variable).sentence,
    );
    if (!signal.aborted) note(variable, found);
  }

  const loop = startServiceLoop("the watch over new connections to Postgres", {
    async pass({ signal }) {
      const before = made;
      for (const [variable, url] of urls) await look(variable, url, signal);
      madeBeforeLook = before;
      return jittered(obstacles.size === 0 ? pauseMs : retryMs);
    },
    retryMs: pauseMs,
    logger,
  });

  return {
    noteMade: () => void (made += 1),
    obstacle: () => (made === madeBeforeLook ? obstacles.get("DATABASE_URL") : undefined),
    isWell: () => obstacles.size === 0,
    [Symbol.asyncDispose]: () => loop[Symbol.asyncDispose](),
  };
}
