import { z } from "zod";
import { isApiKey } from "./domain/api-key.ts";
import { defaultEventRetentionDays } from "./postgres/events/events.ts";
import { driverUrl } from "./postgres/connections/address.ts";
import { leastConnections } from "./postgres/connections/connections.ts";
import { defaultExportLimits } from "./jobs/export/contact-export.ts";
import { defaultLimits } from "./jobs/import/pieces.ts";
import { mostPerSecond } from "./domain/rates.ts";
import { hostFault, isLoopback, networksFault, readNetworks } from "./domain/networks.ts";
import { databaseUrlFault, redisUrlFault } from "./domain/server-url.ts";
import { basePathFault, originsFault, readOrigins } from "./domain/web-address.ts";

/** A number in plain digits, within its bounds. */
const number = (form: RegExp, { least, most, what }: { least: number; most: number; what: string }) =>
  z
    .string()
    .refine(
      (text) => form.test(text) && Number(text) >= least && Number(text) <= most,
      `must be ${what} from ${least} to ${most}`,
    )
    .transform(Number);

const wholeNumber = (least: number, most: number, what = "a whole number") =>
  number(/^\d{1,13}$/, { least, most, what });

const port = wholeNumber(0, 65_535);

/** Calls a second of one class; 0 for no limit. */
const rate = wholeNumber(0, mostPerSecond).default(0);

/** Seconds, which are read as ms. */
const secondsFrom = (least: number) =>
  number(/^\d{1,9}(\.\d{1,3})?$/, { least, most: 3_600, what: "a number of seconds" }).transform(
    (value) => value * 1_000,
  );

const seconds = secondsFrom(0);

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
const file = z.string().optional();

const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

/** Every setting: an environment variable, what it may hold, and its default. docs/operating.md lists them. */
const settings = z.object({
  DATABASE_URL: databaseUrl.optional(),
  DATABASE_DIRECT_URL: databaseUrl.optional(),
  DATABASE_POOL_SIZE: wholeNumber(leastConnections, 100).default(16),
  REDIS_URL: without(redisUrlFault).optional(),
  REDIS_CA_FILE: file,
  REDIS_CERT_FILE: file,
  REDIS_KEY_FILE: file,
  REDIS_PREFIX: z
    .string()
    .regex(/^[\w.-]{1,64}$/, "must be 1 to 64 letters, digits, dots, dashes or underscores")
    .default("callsheet"),
  HOST: without(hostFault).default("127.0.0.1"),
  PORT: port.default(8_080),
  GRPC_PORT: port.default(50051),
  TLS_CERT_FILE: file,
  TLS_KEY_FILE: file,
  TLS_CLIENT_CA_FILE: file,
  ALLOW_PLAINTEXT: flag.default(false),
  BASE_PATH: without(basePathFault).optional(),
  CORS_ORIGINS: without(originsFault).transform(readOrigins).optional(),
  TRUST_PROXY: without(networksFault).transform(readNetworks).optional(),
  CALLSHEET_DATA_DIR: file,
  CALLSHEET_BOOTSTRAP_API_KEY: z
    .string()
    .refine(isApiKey, "must be cs_ and at least 32 letters, digits, dashes or underscores")
    .optional(),
  ERASURE_KEY: z.string().min(32, "must have at least 32 characters, drawn at random").optional(),
  LOG_LEVEL: z.enum(logLevels, `must be one of ${logLevels.join(", ")}`).default("info"),
  SHUTDOWN_TIMEOUT: seconds.default(30_000),
  SHUTDOWN_DELAY: seconds.default(0),
  CONNECTION_MAX_AGE: seconds.default(1_800_000),
  // Longer than balancers keep theirs, which would else send a request into a connection that is being closed.
  KEEP_ALIVE_TIMEOUT: secondsFrom(1).default(65_000),
  LONGEST_WAIT: seconds.default(60_000),
  IMPORT_MAX_BYTES: wholeNumber(1, 9_999_999_999_999, "a number of bytes").default(defaultLimits.maxBytes),
  IMPORT_TIMEOUT: secondsFrom(1).default(defaultLimits.timeoutMs),
  EXPORT_TIMEOUT: secondsFrom(1).default(defaultExportLimits.timeoutMs),
  RATE_READ: rate,
  RATE_COMMAND: rate,
  RATE_IMPORT: rate,
  RATE_LEASE: rate,
  ESTIMATED_CALL_SECONDS: seconds.default(120_000),
  RETENTION_DAYS: wholeNumber(1, 36_500).optional(),
  EVENT_RETENTION_DAYS: wholeNumber(1, 36_500).default(defaultEventRetentionDays),
  WEBHOOK_ALLOW_INSECURE: flag.default(false),
  WEBHOOK_ALLOWED_NETWORKS: without(networksFault).transform(readNetworks).optional(),
});

export type Config = z.infer<typeof settings>;

type Fault = { readonly path: string; readonly message: string };

/** What is wrong with settings that are right by themselves, and with which. */
const faultTogether = (config: Config): Fault | undefined =>
  tlsFault(config) ?? plaintextFault(config) ?? portsFault(config) ?? serversFault(config);

function tlsFault(config: Config): Fault | undefined {
  const { TLS_CERT_FILE: cert, TLS_KEY_FILE: key, TLS_CLIENT_CA_FILE: clientCa } = config;
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
  return undefined;
}

function plaintextFault({ HOST, TLS_CERT_FILE, ALLOW_PLAINTEXT }: Config): Fault | undefined {
  if (TLS_CERT_FILE !== undefined || ALLOW_PLAINTEXT || isLoopback(HOST)) return undefined;
  const message =
    `${HOST} is reached from other machines, and without TLS keys and phone numbers would cross the network in plain ` +
    "text. Set TLS_CERT_FILE and TLS_KEY_FILE or, where a proxy in front adds TLS, ALLOW_PLAINTEXT=true";
  return { path: "HOST", message };
}

function portsFault({ PORT, GRPC_PORT }: Config): Fault | undefined {
  if (PORT === 0 || PORT !== GRPC_PORT) return undefined;
  return { path: "GRPC_PORT", message: `must be another one than PORT, which is ${PORT} too` };
}

/** What is set beside a URL that is not. */
function serversFault(config: Config): Fault | undefined {
  if (config.DATABASE_DIRECT_URL !== undefined && config.DATABASE_URL === undefined)
    return { path: "DATABASE_URL", message: "must be given too: DATABASE_DIRECT_URL is the same database" };
  const needless = (["REDIS_CA_FILE", "REDIS_CERT_FILE", "REDIS_KEY_FILE"] as const).find(
    (name) => config[name] !== undefined,
  );
  if (needless === undefined || config.REDIS_URL !== undefined) return undefined;
  return {
    path: "REDIS_URL",
    message: `must be given too, and begin with rediss: ${needless} is for its TLS`,
  };
}

/** The files of the listeners; undefined without TLS. */
export function tlsFilesOf(config: Config) {
  const { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile, TLS_CLIENT_CA_FILE: clientCaFile } = config;
  return certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile, clientCaFile };
}

/** The files beside the URL of Redis. */
export const redisFilesOf = (config: Config) => ({
  caFile: config.REDIS_CA_FILE,
  certFile: config.REDIS_CERT_FILE,
  keyFile: config.REDIS_KEY_FILE,
});

/** What a file of settings or a shell has left around a value. */
function wrappingFault(text: string): string | undefined {
  if (text === "") return "is blank; give it a value, or leave it out";
  return /^(["']).*\1$/s.test(text)
    ? "stands in quotation marks, which are taken for a part of it; leave them out"
    : undefined;
}

/**
 * Reads the settings; throws one sentence for each that is wrong. An empty variable counts as not set. Blanks and line
 * ends around a value are no part of it: files have them at their end.
 */
export function readConfig(environment: NodeJS.ProcessEnv): Config {
  const given = Object.keys(settings.shape).flatMap((name) => {
    const text = environment[name] ?? "";
    return text === "" ? [] : [[name, text.trim()] as const];
  });
  const wrapped = given.flatMap(([name, text]) => {
    const fault = wrappingFault(text);
    return fault === undefined ? [] : [`${name}: ${fault}.`];
  });
  if (wrapped.length > 0) throw new Error(wrapped.join("\n"));
  const result = settings.safeParse(Object.fromEntries(given));
  const fault = result.success ? faultTogether(result.data) : undefined;
  if (result.success && fault === undefined) return result.data;
  const alone = (result.error?.issues ?? []).map(({ path, message }) => ({ path: path.join("."), message }));
  const sentences = [...alone, ...(fault ? [fault] : [])].map(({ path, message }) => `${path}: ${message}.`);
  throw new Error(sentences.join("\n"));
}

const prefix = "CALLSHEET_";
const bare = (name: string): string => (name.startsWith(prefix) ? name.slice(prefix.length) : name);

/** What Kubernetes sets for a Service, which may be named callsheet. */
const isServiceLink = (name: string, value: string): boolean =>
  /_SERVICE_(HOST|PORT(_\w+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name) ||
  (name.endsWith("_PORT") && /^(tcp|udp|sctp):\/\//.test(value));

const pairsOf = (name: string): Set<string> =>
  new Set(Array.from(name.slice(1), (letter, i) => `${name[i]}${letter}`));

/** How many of their pairs of letters two names share, from 0 to 1. */
function likeness(name: string, other: string): number {
  const pairs = pairsOf(name);
  const others = pairsOf(other);
  return (2 * [...pairs].filter((pair) => others.has(pair)).length) / (pairs.size + others.size);
}

/** True if a name is another one, or has one letter more, less or another than that. */
function isNearly(name: string, other: string): boolean {
  const differs = [...other].findIndex((letter, i) => letter !== name[i]);
  const at = differs === -1 ? other.length : differs;
  const [rest, otherRest] = [name.slice(at), other.slice(at)];
  return [rest, rest.slice(1)].some((each) => [otherRest, otherRest.slice(1)].includes(each));
}

/**
 * A sentence, without its value, for each variable that is no setting and seems to be meant as one: it begins with
 * CALLSHEET_, or is nearly a setting that is not given.
 */
export function unknownSettings(environment: NodeJS.ProcessEnv): string[] {
  const settingNames = Object.keys(settings.shape);
  return Object.entries(environment).flatMap(([name, value = ""]) => {
    if (value === "" || settingNames.includes(name) || isServiceLink(name, value)) return [];
    const likenessOf = (setting: string) => likeness(bare(name), bare(setting));
    const nearest = settingNames.reduce((best, each) => (likenessOf(each) > likenessOf(best) ? each : best));
    const isMeant = name.startsWith(prefix) || (isNearly(name, bare(nearest)) && !environment[nearest]);
    return isMeant ? [`${name} is no setting, and is ignored; the nearest one is ${nearest}.`] : [];
  });
}
