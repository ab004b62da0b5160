import { z } from "zod";
import { isApiKey } from "./domain/api-key.ts";
import { driverUrl } from "./postgres/address.ts";
import { leastConnections } from "./postgres/connections.ts";
import { defaultExportLimits } from "./jobs/export/contact-export.ts";
import { defaultLimits } from "./jobs/import/pieces.ts";
import { mostPerSecond } from "./domain/rates.ts";
import { isLoopback, networksFault, readNetworks } from "./domain/networks.ts";
import { databaseUrlFault, redisUrlFault } from "./domain/server-url.ts";
import { basePathFault, originsFault, readOrigins } from "./domain/web-address.ts";

/** A whole number in plain digits, within its bounds. */
const wholeNumber = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/, `must be a whole number from ${least} to ${most}`)
    .transform(Number)
    .pipe(z.number().min(least).max(most));

const port = wholeNumber(0, 65_535);

/** Calls a second of one class; 0 for no limit. */
const rate = wholeNumber(0, mostPerSecond).default(0);

const seconds = z
  .string()
  .regex(/^\d{1,9}(\.\d{1,3})?$/, "must be a number of seconds from 0 to 3600")
  .transform(Number)
  .pipe(z.number().max(3_600))
  .transform((value) => value * 1_000);

/** Text without the fault that a look at it may find. */
const without = (faultOf: (text: string) => string | undefined) =>
  z.string().superRefine((text, context) => {
    const fault = faultOf(text);
    if (fault !== undefined) context.addIssue(fault);
  });

const databaseUrl = z
  .string()
  .regex(/^postgres(ql)?:\/\//, "must be a postgres:// URL")
  .pipe(without(databaseUrlFault))
  .transform(driverUrl);
const flag = z.enum(["true", "false"], "must be true or false").transform((value) => value === "true");

/** Every setting: an environment variable, what it may hold, and its default. docs/operating.md lists them. */
const settings = z.object({
  DATABASE_URL: databaseUrl.optional(),
  DATABASE_DIRECT_URL: databaseUrl.optional(),
  DATABASE_POOL_SIZE: wholeNumber(leastConnections, 100).default(16),
  REDIS_URL: without(redisUrlFault).optional(),
  REDIS_CA_FILE: z.string().min(1).optional(),
  REDIS_CERT_FILE: z.string().min(1).optional(),
  REDIS_KEY_FILE: z.string().min(1).optional(),
  REDIS_PREFIX: z
    .string()
    .regex(/^[\w.-]{1,64}$/, "must be 1 to 64 letters, digits, dots, dashes or underscores")
    .default("callsheet"),
  HOST: z.string().min(1).default("127.0.0.1"),
  PORT: port.default(8_080),
  GRPC_PORT: port.default(50051),
  TLS_CERT_FILE: z.string().min(1).optional(),
  TLS_KEY_FILE: z.string().min(1).optional(),
  TLS_CLIENT_CA_FILE: z.string().min(1).optional(),
  ALLOW_PLAINTEXT: flag.default(false),
  BASE_PATH: without(basePathFault).optional(),
  CORS_ORIGINS: without(originsFault).transform(readOrigins).optional(),
  TRUST_PROXY: without(networksFault).transform(readNetworks).optional(),
  CALLSHEET_DATA_DIR: z.string().min(1).optional(),
  CALLSHEET_BOOTSTRAP_API_KEY: z
    .string()
    .refine(isApiKey, "must be cs_ and at least 32 letters, digits, dashes or underscores")
    .optional(),
  LOG_LEVEL: z.enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"]).default("info"),
  SHUTDOWN_TIMEOUT: seconds.default(30_000),
  SHUTDOWN_DELAY: seconds.default(0),
  CONNECTION_MAX_AGE: seconds.default(1_800_000),
  // Longer than balancers keep theirs, which would else send a request into a connection that is being closed.
  KEEP_ALIVE_TIMEOUT: seconds.default(65_000),
  LONGEST_WAIT: seconds.default(60_000),
  IMPORT_MAX_BYTES: z
    .string()
    .regex(/^[1-9]\d{0,12}$/, "must be a number of bytes from 1 to 9999999999999")
    .transform(Number)
    .default(defaultLimits.maxBytes),
  IMPORT_TIMEOUT: seconds.default(defaultLimits.timeoutMs),
  EXPORT_TIMEOUT: seconds.default(defaultExportLimits.timeoutMs),
  RATE_READ: rate,
  RATE_COMMAND: rate,
  RATE_IMPORT: rate,
  RATE_LEASE: rate,
  ESTIMATED_CALL_SECONDS: seconds.default(120_000),
  RETENTION_DAYS: wholeNumber(1, 36_500).optional(),
});

export type Config = z.infer<typeof settings>;

/** What is wrong with settings that are right by themselves, and with which. */
function faultTogether(config: Config): { path: string; message: string } | undefined {
  const { HOST, TLS_CERT_FILE: cert, TLS_KEY_FILE: key, TLS_CLIENT_CA_FILE: clientCa } = config;
  if ((cert ?? clientCa) !== undefined && key === undefined)
    return {
      path: "TLS_KEY_FILE",
      message: "must be given too where TLS is wanted: the key of TLS_CERT_FILE",
    };
  if (key !== undefined && cert === undefined)
    return {
      path: "TLS_CERT_FILE",
      message: "must be given too where TLS is wanted: the certificate of TLS_KEY_FILE",
    };
  if (cert !== undefined || config.ALLOW_PLAINTEXT || isLoopback(HOST)) return undefined;
  const message =
    `${HOST} is reached from other machines, and without TLS keys and phone numbers would cross the network in plain ` +
    "text. Set TLS_CERT_FILE and TLS_KEY_FILE or, where a proxy in front adds TLS, ALLOW_PLAINTEXT=true";
  return { path: "HOST", message };
}

const checked = settings.superRefine((config, context) => {
  const fault = faultTogether(config);
  if (fault) context.addIssue({ code: "custom", path: [fault.path], message: fault.message });
});

/** The files beside the URL of Redis. */
export const redisFilesOf = (config: Config) => ({
  caFile: config.REDIS_CA_FILE,
  certFile: config.REDIS_CERT_FILE,
  keyFile: config.REDIS_KEY_FILE,
});

/** Reads the settings; throws one sentence for each that is wrong. An empty variable counts as not set. */
export function readConfig(environment: NodeJS.ProcessEnv): Config {
  const given = Object.entries(environment).filter(([, value]) => value !== "");
  const result = checked.safeParse(Object.fromEntries(given));
  if (result.success) return result.data;
  const sentences = result.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}.`);
  throw new Error(sentences.join("\n"));
}
