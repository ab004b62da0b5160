import { Cluster } from "ioredis";
import type { RedisClient } from "./connection.ts";

const endings: Record<string, string> = {
  ECONNREFUSED: "takes no connections; it must run there, and listen",
  ENOTFOUND: "is not to be found; the name server must know that host",
  EAI_AGAIN: "is not to be found; the name server must know that host",
};

/** Why Redis does not answer, in a sentence that names the server and the setting. */
export function whyAway(redis: RedisClient, error: unknown): string {
  const place =
    redis instanceof Cluster ? "The Redis Cluster (REDIS_URL)" : `Redis at ${addressOf(redis)} (REDIS_URL)`;
  const message = error instanceof Error ? error.message : String(error);
  const code = codeOf(error);
  if (/before secure TLS connection/.test(message)) {
    return `${place} hangs up on TLS; where it speaks none, the URL must begin with redis://.`;
  }
  if (code === "ECONNRESET") {
    return `${place} hangs up; where it speaks TLS, the URL must begin with rediss://.`;
  }
  const ending = endings[code] ?? `does not answer (${message}); it must be reachable from here`;
  return `${place} ${ending}.`;
}

/** What is wrong with a server's certificate, in a sentence; undefined if the error is about something else. */
export function certificateFault(error: Error): string | undefined {
  // Node's names for it. After a semicolon it gives advice of its own.
  if (!/CERT|^UNABLE_TO_/.test(codeOf(error))) return undefined;
  return `Redis shows a certificate that is not trusted here (${error.message.split(";", 1)[0]}); NODE_EXTRA_CA_CERTS must name the file of its CA, and REDIS_URL the host as the certificate has it.`;
}

const addressOf = ({ options }: Exclude<RedisClient, Cluster>): string =>
  options.path ??
  `${options.host?.includes(":") === true ? `[${options.host}]` : options.host}:${options.port}`;

function codeOf(error: unknown): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const code: unknown = first instanceof Error ? Reflect.get(first, "code") : undefined;
  return typeof code === "string" ? code : "";
}
