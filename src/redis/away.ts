import { Cluster } from "ioredis";
import type { RedisClient } from "./connection.ts";

const endings: Record<string, string> = {
  ECONNREFUSED: "takes no connections; it must run there, and listen",
  ENOTFOUND: "is not to be found; the name server must know that host",
  EAI_AGAIN: "is not to be found; the name server must know that host",
};

/** Why Redis does not answer, in a sentence that names the server and the setting. */
export function whyAway(redis: RedisClient, error: unknown): string {
  const place = placeOf(redis);
  const message = error instanceof Error ? error.message : String(error);
  const code = codeOf(error);
  if (message.startsWith("All sentinels are unreachable")) {
    const [, why] = /Last error: (.*)/.exec(message) ?? [];
    return why === undefined || why.includes("No such master")
      ? `${place} is known to none of the Sentinels; the URL must name the master as they do.`
      : `${place} is not to be found, for no Sentinel answers (${why}); they must be reachable from here.`;
  }
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
  return `Redis shows a certificate that is not trusted here (${error.message.split(";", 1)[0]}); REDIS_CA_FILE must name the file of its CA, and REDIS_URL the host as the certificate has it.`;
}

function placeOf(redis: RedisClient): string {
  if (redis instanceof Cluster) return "The Redis Cluster (REDIS_URL)";
  const { sentinels, name } = redis.options;
  if (sentinels) return `The Redis that Sentinel knows as ${name} (REDIS_URL)`;
  return `Redis at ${addressOf(redis)} (REDIS_URL)`;
}

const addressOf = ({ options }: Exclude<RedisClient, Cluster>): string =>
  options.path ??
  `${options.host?.includes(":") === true ? `[${options.host}]` : options.host}:${options.port}`;

function codeOf(error: unknown): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const code: unknown = first instanceof Error ? Reflect.get(first, "code") : undefined;
  return typeof code === "string" ? code : "";
}
