import { setTimeout as delay } from "node:timers/promises";
import { Command } from "commander";
import { type Config, readConfig, redisFilesOf, tlsFilesOf } from "../config.ts";
import { chooseDataDirectory } from "../embedded/data-directory.ts";
import { findEmbeddedPostgres } from "../embedded/postgres/postgres.ts";
import { openDatabase } from "../postgres/connections/database.ts";
import { readInstallation } from "../postgres/doctor.ts";
import { checkDatabase } from "../postgres/connections/fitness.ts";
import { obstacleOf } from "../postgres/connections/obstacle.ts";
import { type RedisClient, openRedis } from "../redis/connection.ts";
import { judgeError } from "../redis/fitness.ts";
import { type Keys, createKeys } from "../redis/keys.ts";
import { readTls } from "../redis/tls.ts";
import { createFileReader, readIdentity } from "../rpc/tls/files.ts";
import { comparisonChecks } from "./comparison.ts";
import { type Finding, runChecks } from "./finding.ts";
import { postgresChecks } from "./postgres-checks.ts";
import { redisChecks } from "./redis-checks.ts";

/** No look takes longer, and none holds anything up. */
const lookMs = 10_000;
/** Two passes of the sweep, and what a command needs for its Redis half. */
const settleMs = 8_000;
const connectMs = 5_000;

/** Why Redis cannot be used; undefined once it can. */
async function whyNoRedis(redis: RedisClient, keys: Keys): Promise<string | undefined> {
  let last: unknown;
  redis.on("error", (error) => (last = error));
  for (const began = performance.now(); performance.now() - began < connectMs;) {
    if (redis.status === "ready") return undefined;
    const known = judgeError(last, keys);
    if (known !== undefined && known.verdict !== "fit") return known.sentence;
    await delay(50);
  }
  return "Redis does not answer; see that it runs, and that REDIS_URL names it.";
}

/** What is wrong with the files of the listeners, for which a start is refused; nothing without TLS. */
async function examineTls(config: Config): Promise<Finding[]> {
  const files = tlsFilesOf(config);
  if (files === undefined) return [];
  const check = "TLS files";
  try {
    const { expiresAt } = await readIdentity(files);
    const until = expiresAt.toISOString();
    return expiresAt.getTime() > Date.now()
      ? [{ check, level: "ok", sentence: `The certificate fits its key, and lasts until ${until}.` }]
      : [
          {
            check,
            level: "fault",
            sentence: `TLS_CERT_FILE: the certificate has ended at ${until}; renew it.`,
          },
        ];
  } catch (error) {
    return [{ check, level: "fault", sentence: error instanceof Error ? error.message : String(error) }];
  }
}

/** Looks at everything that a service with these settings uses, and changes nothing. */
async function examine(config: Config): Promise<Finding[]> {
  return [...(await examineTls(config)), ...(await examineServers(config))];
}

async function examineServers(config: Config): Promise<Finding[]> {
  await using stack = new AsyncDisposableStack();
  const url =
    config.DATABASE_URL ?? (await findEmbeddedPostgres(chooseDataDirectory(config.CALLSHEET_DATA_DIR)));
  if (url === undefined) {
    const sentence = "There is no database: set DATABASE_URL as the service has it, or start the service.";
    return [{ check: "Postgres", level: "fault", sentence }];
  }
  const { DATABASE_DIRECT_URL: directUrl = url } = config;
  for (const [variable, each, use] of [
    ["DATABASE_URL", url, { isBesideDirect: directUrl !== url }],
    ["DATABASE_DIRECT_URL", directUrl, undefined],
  ] as const) {
    try {
      await checkDatabase(each, variable, use);
    } catch (error) {
      return [{ check: "Postgres", level: "fault", sentence: obstacleOf(error, each, variable).sentence }];
    }
  }
  const db = openDatabase({ url, poolSize: 1, statementTimeoutMs: lookMs });
  stack.defer(() => db.destroy());
  const found = await runChecks(postgresChecks(db, config.DATABASE_POOL_SIZE));
  if (config.REDIS_URL === undefined) {
    const sentence = "REDIS_URL is not set: an embedded Redis is looked at by its service alone.";
    return [...found, { check: "Redis", level: "warning", sentence }];
  }
  const redis = openRedis(
    config.REDIS_URL,
    await readTls(config.REDIS_URL, redisFilesOf(config), createFileReader().read),
  );
  stack.defer(() => redis.disconnect());
  const keys = createKeys(config.REDIS_PREFIX);
  const obstacle = await whyNoRedis(redis, keys);
  if (obstacle !== undefined) return [...found, { check: "Redis", level: "fault", sentence: obstacle }];
  const checks = [
    ...redisChecks({ redis, keys, installation: () => readInstallation(db) }),
    ...comparisonChecks({ db, redis, keys, settleMs }),
  ];
  return [...found, ...(await runChecks(checks))];
}

const exitCodes = { ok: 0, warning: 1, fault: 2 } as const;

const print = (line: string): void => void process.stdout.write(`${line}\n`);

/** `doctor`: a line for each look; it ends with 0 if all is well, with 1 after a warning, with 2 after a fault. */
export const doctorCommand = (): Command =>
  new Command("doctor")
    .description("Looks whether Postgres, Redis and what is in them are well. It only reads.")
    .option("--json", "prints an array of what was found")
    .action(async ({ json }: { json?: true }) => {
      let findings: readonly Finding[];
      try {
        findings = await examine(readConfig(process.env));
      } catch (error) {
        process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
        process.exitCode = exitCodes.fault;
        return;
      }
      if (json === true) print(JSON.stringify(findings, undefined, 2));
      else
        for (const { check, level, sentence } of findings) print(`${level.padEnd(7)}  ${check}: ${sentence}`);
      process.exitCode = Math.max(0, ...findings.map(({ level }) => exitCodes[level]));
    });

if (import.meta.main) await doctorCommand().parseAsync();
