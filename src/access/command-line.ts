import { type Command, InvalidArgumentError } from "commander";
import { readConfig } from "../config.ts";
import { chooseDataDirectory, holdDataDirectory } from "../embedded/data-directory.ts";
import {
  findEmbeddedPostgres,
  hasEmbeddedPostgres,
  startEmbeddedPostgres,
} from "../embedded/postgres/postgres.ts";
import { type Database, openDatabase } from "../postgres/connections/database.ts";
import { type UrlVariable, type Use, checkDatabase } from "../postgres/connections/fitness.ts";
import { obstacleOf } from "../postgres/connections/obstacle.ts";
import { prepareDatabase } from "../postgres/schema/prepare.ts";

/* What the commands have in common. */

export const print = (line: string): void => void process.stdout.write(`${line}\n`);
const complain = (line: string): void => void process.stderr.write(`${line}\n`);

/**
 * The service's database: DATABASE_URL, or the embedded one that the service has made, which is started for the moment
 * if it does not run. None is made here: a key in a database that no service uses is a key that nobody takes.
 */
export async function withDatabase(work: (db: Database) => Promise<void>): Promise<void> {
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
  const { DATABASE_DIRECT_URL: directUrl = url } = config;
  if (directUrl !== url) await check(directUrl, "DATABASE_DIRECT_URL");
  const waiting = {
    // A signal ends a command at once, whatever it is at.
    signal: new AbortController().signal,
    waitsFor: (sentence?: string) => void (sentence !== undefined && complain(sentence)),
  };
  const prepare = () => prepareDatabase({ databaseUrl: url, directUrl }, waiting);
  await check(url, "DATABASE_URL", { use: { isBesideDirect: directUrl !== url }, work: prepare });
  const db = openDatabase({ url, poolSize: 2 });
  stack.defer(() => db.destroy());
  await work(db);
}

/** Looks whether the database can be used, and does the work; what is in the way is thrown as one sentence. */
async function check(
  url: string,
  variable: UrlVariable,
  { use, work }: { use?: Use; work?: () => Promise<void> } = {},
): Promise<void> {
  try {
    await checkDatabase(url, variable, use);
    await work?.();
  } catch (error) {
    throw new Error(obstacleOf(error, url, variable).sentence, { cause: error });
  }
}

/** A name as an argument, under the rules of the API: none may break a line of what is listed. */
export function nameFrom(text: string): string {
  if ([...text].length <= 200 && !/[\p{Cc}\p{Cs}]/u.test(text)) return text;
  throw new InvalidArgumentError(
    "give at most 200 characters, without line breaks and other control characters.",
  );
}

/** The name of an organization, as an argument. */
export function organizationName(text: string): string {
  if (text.trim() !== "") return nameFrom(text);
  throw new InvalidArgumentError("give a name.");
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
