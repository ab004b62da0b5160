import { randomUUID } from "node:crypto";
import {
  type ConnectError,
  type ContextValues,
  createContextKey,
  type HandlerContext,
} from "@connectrpc/connect";
import type { Logger } from "pino";
import type { Metrics } from "../../vitals/metrics.ts";
import { callIdHeader, codeName } from "../errors.ts";
import { createRefusalLog } from "./refusal-log.ts";
import { tellEnd } from "./strangers.ts";

const observedKey = createContextKey(false);

/** Says that the end of the call will be counted and logged. */
export const markObserved = (values: ContextValues): void => void values.set(observedKey, true);

/**
 * Counts and logs a call that ended before any interceptor saw it (refused by the gate, not decodable, left by its
 * client), and names it in its answer. It may be told of others too, which are not counted twice. Anybody can have
 * calls refused, so that not all are logged.
 */
export type Refused = (
  context: Pick<HandlerContext, "service" | "method" | "values">,
  error: ConnectError,
) => void;

export function createRefused(watchers: { metrics: Metrics; logger: Logger }): Refused {
  const { metrics, logger } = watchers;
  const logRefusal = createRefusalLog(logger);
  return (context, error) => {
    if (context.values.get(observedKey)) return;
    markObserved(context.values);
    tellEnd(context.values, error);
    const method = `${context.service.typeName}/${context.method.name}`;
    const callId = randomUUID();
    error.metadata.set(callIdHeader, callId);
    metrics.rpcs.inc({ method, code: codeName(error.code) });
    logRefusal({ callId, method, code: codeName(error.code) });
  };
}
