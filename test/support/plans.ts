import { sql } from "kysely";
import { type Database, openPool, overPool } from "../../src/postgres/connections/database.ts";

type PlanNode = {
  "Node Type": string;
  "Relation Name"?: string;
  "Index Name"?: string;
  "Actual Rows": number;
  "Actual Loops": number;
  "Rows Removed by Filter"?: number;
  "Rows Removed by Index Recheck"?: number;
  Plans?: PlanNode[];
};

/** One look at a table: how, by which index, and how many of its rows were touched. */
export type Scan = { table: string; how: string; index: string | undefined; rows: number };

export type Explained = AsyncDisposable & {
  readonly db: Database;
  /** The looks at tables that the statements of this work took, as Postgres ran them. */
  scansOf(work: () => Promise<unknown>): Promise<Scan[]>;
};

function* scansIn(node: PlanNode): Generator<Scan> {
  const { "Relation Name": table, "Node Type": how, "Index Name": index } = node;
  if (table !== undefined && how.endsWith("Scan")) {
    const removed = (node["Rows Removed by Filter"] ?? 0) + (node["Rows Removed by Index Recheck"] ?? 0);
    yield { table, how, index, rows: Math.round((node["Actual Rows"] + removed) * node["Actual Loops"]) };
  }
  for (const child of node.Plans ?? []) yield* scansIn(child);
}

/** A database over one connection that explains each statement that it runs, with its real parameters. */
export async function openExplained(url: string): Promise<Explained> {
  const pool = openPool({ url, size: 1, idleTimeoutMs: 0 });
  const plans: PlanNode[] = [];
  pool.on("connect", (client) =>
    client.on("notice", ({ message = "" }) => {
      const at = message.indexOf("{");
      if (message.startsWith("duration") && at > 0) plans.push(JSON.parse(message.slice(at)).Plan);
    }),
  );
  const db = overPool(pool);
  const settings = [
    "load 'auto_explain'",
    "set auto_explain.log_min_duration = 0",
    "set auto_explain.log_analyze = on",
    "set auto_explain.log_timing = off",
    // What functions run, too.
    "set auto_explain.log_nested_statements = on",
    "set auto_explain.log_format = json",
    "set auto_explain.log_level = notice",
  ];
  for (const setting of settings) await sql.raw(setting).execute(db);
  return {
    db,
    async scansOf(work) {
      plans.length = 0;
      await work();
      return plans.flatMap((plan) => [...scansIn(plan)]);
    },
    [Symbol.asyncDispose]: () => db.destroy(),
  };
}
