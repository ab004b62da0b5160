import type { UrlVariable } from "./fitness.ts";
import { createLoneClient } from "./lone-client.ts";
import { overUrl } from "./obstacle.ts";

export type Addresses = {
  /** DATABASE_URL. */
  readonly databaseUrl: string;
  /** DATABASE_DIRECT_URL: for what needs a session of its own, migrations and files on their way in. */
  readonly directUrl: string;
};

const direct = "DATABASE_DIRECT_URL";

/** The setting that the direct URL comes from. */
export const directVariableOf = ({ databaseUrl, directUrl }: Addresses): UrlVariable =>
  directUrl === databaseUrl ? "DATABASE_URL" : direct;

/**
 * Refuses connections that cannot do what they must: those of the direct URL keep one process of the server for
 * themselves, those of the other one through a transaction, and both lead to the same tables.
 */
export async function checkConnections({ databaseUrl, directUrl }: Addresses): Promise<void> {
  const isOne = directUrl === databaseUrl;
  const directVariable = directVariableOf({ databaseUrl, directUrl });
  await using one = await connectTo(directUrl, directVariable);
  await using other = await connectTo(directUrl, directVariable);
  await using usual = await connectTo(databaseUrl, "DATABASE_URL");
  await checkTransactions(usual);
  if (await shareProcesses(one, other)) {
    const what = isOne
      ? `The connections of DATABASE_URL go through a pooler that gives each transaction another one of the server's, and files of contacts need one that stays; set ${direct} to a URL that leads to Postgres itself.`
      : `The connections of ${direct} go through a pooler that gives each transaction another one of the server's; it must lead to Postgres itself.`;
    throw new Error(what);
  }
  if ((await whereIs(one)) !== (await whereIs(usual))) {
    throw new Error(
      `${direct} leads to another server, database or schema than DATABASE_URL; both must lead to the same one.`,
    );
  }
}

type Connection = AsyncDisposable & { ask(text: string): Promise<string> };

const patienceMs = 5_000;

async function connectTo(url: string, variable: UrlVariable): Promise<Connection> {
  const client = createLoneClient(url, patienceMs);
  await overUrl(url, variable, async () => {
    try {
      await client.connect();
    } catch (error) {
      await client.end().catch(() => {});
      throw explained(error, variable);
    }
  });
  return {
    async ask(text) {
      const { rows } = await overUrl(url, variable, () => client.query<{ answer: unknown }>(text));
      return String(rows[0]?.answer);
    },
    [Symbol.asyncDispose]: () => client.end().catch(() => {}),
  };
}

function explained(error: unknown, name: string): unknown {
  const [, parameter] =
    /unsupported startup parameter(?: in options)?: (\w+)/.exec(
      error instanceof Error ? error.message : "",
    ) ?? [];
  if (parameter === undefined) return error;
  return new Error(
    `The pooler of ${name} refuses the parameter ${parameter} that the URL brings along; take it out of the URL, or name it in the pooler's ignore_startup_parameters.`,
    { cause: error },
  );
}

async function checkTransactions(usual: Connection): Promise<void> {
  try {
    await usual.ask("begin");
    await usual.ask("rollback");
  } catch (error) {
    if (!(error instanceof Error) || !/statement pooling/.test(error.message)) throw error;
    throw new Error(
      "The pooler of DATABASE_URL gives each statement another connection of the server's; its pool_mode must be transaction or session.",
      { cause: error },
    );
  }
}

/**
 * How often two connections are asked. What others do with a pooler's connections meanwhile hides little from so many.
 */
const rounds = 10;

/**
 * True if a process of the server has served both connections, or several have served the first. Neither is ever in a
 * transaction when the other is asked, so that a pooler of transactions has no reason to keep them apart.
 */
async function shareProcesses(one: Connection, other: Connection): Promise<boolean> {
  const processOf = (connection: Connection) => connection.ask("select pg_backend_pid() as answer");
  const own = await processOf(one);
  for (let round = 0; round < rounds; round += 1) {
    if ((await processOf(other)) === own || (await processOf(one)) !== own) return true;
  }
  return false;
}

const whereIs = (connection: Connection): Promise<string> =>
  connection.ask(
    "select concat_ws(' ', pg_postmaster_start_time(), current_database(), current_schema()) as answer",
  );
