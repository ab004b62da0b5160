import type { Logger } from "pino";
import type { Counter } from "prom-client";
import { type LoopWork, startLoop } from "../timing/loop.ts";

/**
 * Starts a loop of the service. Of failures in a row the log has the first, and then that it works again; the counter
 * has each.
 */
export function startServiceLoop(
  name: string,
  { logger, failures, ...work }: Omit<LoopWork, "onFailure" | "onRecovery"> & Told,
): AsyncDisposable {
  return startLoop({
    ...work,
    onFailure(error, row) {
      failures?.inc();
      if (row === 1) logger.error({ err: error }, `${name} fails; it tries again`);
    },
    onRecovery: () => logger.info(`${name} works again`),
  });
}

type Told = { readonly logger: Logger; readonly failures?: Counter | undefined };
