import { Command, InvalidArgumentError, Option } from "commander";
import { generateApiKey, hashApiKey } from "../domain/api-key.ts";
import { readConfig } from "../config.ts";
import { roles } from "../domain/caller.ts";
import { chooseDataDirectory, holdDataDirectory } from "../embedded/data-directory.ts";
import { findEmbeddedPostgres, hasEmbeddedPostgres, startEmbeddedPostgres } from "../embedded/postgres.ts";
import { ensureOrganization, insertApiKey, listApiKeys, revokeApiKey } from "../postgres/api-keys.ts";
import { isUuid } from "../domain/job-id.ts";
import { type Database, openDatabase } from "../postgres/database.ts";
import { checkDatabase } from "../postgres/fitness.ts";
import { migrate } from "../postgres/migrate.ts";
import { obstacleOf } from "../postgres/obstacle.ts";

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const complain = (line: string): void => void process.stderr.write(`${line}\n`);

/**
 * The service's database: DATABASE_URL, or the embedded one that the service has made, which is started for the moment
 * if it does not run. None is made here: a key in a database that no service uses is a key that nobody takes.
 */
async function withDatabase(work: (db: Database) => Promise<void>): Promise<void> {
  const config = readConfig(process.env);
  await using stack = new AsyncDisposableStack();
  let url = config.DATABASE_URL;
  if (url === undefined) {
    const dataDirectory = chooseDataDirectory(config.CALLSHEET_DATA_DIR);
    if (!hasEmbeddedPostgres(dataDirectory)) {
      throw new Error(
        `There is no database: DATABASE_URL is not set, and no service has made one in ${dataDirectory}; set DATABASE_URL or CALLSHEET_DATA_DIR as the service has it.`,
      );
    }
    url = await findEmbeddedPostgres(dataDirectory);
    if (url === undefined) {
      stack.use(await holdDataDirectory(dataDirectory));
      url = stack.use(await startEmbeddedPostgres({ dataDirectory, say: complain })).url;
    }
  }
  try {
    await checkDatabase(url);
    await migrate(config.DATABASE_DIRECT_URL ?? url);
  } catch (error) {
    throw new Error(obstacleOf(error, url).sentence, { cause: error });
  }
  const db = openDatabase({ url, poolSize: 2 });
  stack.defer(() => db.destroy());
  await work(db);
}

function days(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0 && value <= 36_500) return value;
  throw new InvalidArgumentError("give a number of days from 0 to 36500.");
}

function organizationName(text: string): string {
  if (text.trim() !== "") return text;
  throw new InvalidArgumentError("give a name.");
}

function keyId(text: string): string {
  if (isUuid(text)) return text;
  throw new InvalidArgumentError('give the id that "list" shows.');
}

/** Creates, lists and revokes keys. */
export function keysCommand(): Command {
  const program = new Command("keys").description("Creates, lists and revokes the API keys of Callsheet.");

  program
    .command("create")
    .description("creates a key and prints it; it is not shown again")
    .addOption(new Option("--role <role>", "what the key may do").choices(roles).makeOptionMandatory())
    .option(
      "--organization <name>",
      "the organization it belongs to, made if there is none",
      organizationName,
      "default",
    )
    .option("--name <name>", "what the key is for", "")
    .option("--expires-in-days <days>", "when it stops to be valid; never if not given", days)
    .action(async ({ role, organization, name, expiresInDays }) => {
      await withDatabase(async (db) => {
        const key = generateApiKey();
        await insertApiKey(db, {
          organizationId: await ensureOrganization(db, organization),
          name,
          role,
          hash: hashApiKey(key),
          expiresAt: expiresInDays === undefined ? null : new Date(Date.now() + expiresInDays * 86_400_000),
        });
        print(key);
      });
    });

  program
    .command("list")
    .description("lists the keys, without their secrets")
    .action(async () => {
      await withDatabase(async (db) => {
        for (const key of await listApiKeys(db)) {
          const until = key.expiresAt === null ? "" : `  expires ${key.expiresAt.toISOString()}`;
          const revoked = key.revokedAt === null ? "" : `  revoked ${key.revokedAt.toISOString()}`;
          print(
            `${key.id}  ${key.organization}  ${key.role.padEnd(8)}  created ${key.createdAt.toISOString()}${until}${revoked}  ${key.name}`.trimEnd(),
          );
        }
      });
    });

  program
    .command("revoke")
    .description("revokes a key; replicas refuse it within 5 seconds")
    .argument("<id>", "the key's id, as list shows it", keyId)
    .action(async (id: string) => {
      await withDatabase(async (db) => {
        if (!(await revokeApiKey(db, id))) throw new Error(`There is no key ${id} that could be revoked.`);
        print(`revoked ${id}`);
      });
    });

  return program;
}

/** Runs a command with the arguments of this process; what it throws is one sentence on standard error. */
export async function runCommand(command: Command): Promise<void> {
  try {
    await command.parseAsync();
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}

if (import.meta.main) await runCommand(keysCommand());
