import { databaseNow } from "../postgres/jobs/batch-jobs.ts";
import type { Database } from "../postgres/connections/database.ts";
import {
  appliedMigrations,
  countStuck,
  findBroken,
  findKeeper,
  type Keeper,
  readServerSettings,
} from "../postgres/doctor.ts";
import { migrations } from "../postgres/schema/migrate.ts";
import { readRights } from "../postgres/schema/rights.ts";
import { type Check, fault, ok, type Verdict, warning } from "./finding.ts";

/** Clocks that differ by more confuse those who read logs; nothing is decided by any but Postgres's. */
export const largestSkewMs = 5_000;

/** A clock beside this machine's; an answer may have been on its way for a while. */
export function judgeClock(name: string, clockMs: number, asked: { fromMs: number; untilMs: number }) {
  const skewMs = Math.max(asked.fromMs - clockMs, clockMs - asked.untilMs, 0);
  return skewMs > largestSkewMs
    ? warning(
        `The clock of ${name} and this machine's are ${Math.round(skewMs / 1000)} s apart; have both set theirs by NTP.`,
      )
    : ok(`The clock of ${name} is this machine's.`);
}

/** Each of them may have left a version of a row that all look for; to go through so many takes milliseconds. */
const mostKept = 100_000;

/** Who has old rows kept, and what ends that. */
function sayWho({ kind, name }: Keeper): [who: string, end: string] {
  switch (kind) {
    case "session":
      return [
        `Process ${name} of Postgres`,
        `unless it is a dump or an export that goes on, pg_terminate_backend(${name})`,
      ];
    case "standby":
      return [`A query on the standby of process ${name}`, "end it, or switch hot_standby_feedback off"];
    case "prepared":
      return [`The prepared transaction ${name}`, "commit it, or roll it back"];
    case "slot":
      return [`The replication slot ${name}`, "see that its reader reads, or drop it"];
  }
}

/** Nobody sees it otherwise: everything works, a little slower each hour. */
function judgeKeeper(keeper: Keeper | undefined): Verdict {
  if (keeper === undefined || keeper.transactions < mostKept)
    return ok("Nothing has Postgres keep old versions of rows for long.");
  const [who, end] = sayWho(keeper);
  return warning(
    `${who} has all versions of rows kept since ${keeper.transactions} transactions ago, and everything becomes slower meanwhile: ${end}.`,
  );
}

/** What Postgres alone tells. */
export const postgresChecks = (db: Database, poolSize: number): Check[] => [
  {
    check: "schema",
    async look() {
      const applied = await appliedMigrations(db);
      const known = Object.keys(migrations);
      const [last, newest] = [applied.at(-1), known.at(-1)];
      if (last === undefined)
        return fault("The database has no schema of Callsheet; a replica that starts makes it.");
      const missing = known.filter((name) => !applied.includes(name));
      if (missing.length > 0)
        return warning(
          `The schema is at ${last}, and lacks ${missing.join(", ")}; a replica of this version brings it up to date as it starts.`,
        );
      return ok(
        last === newest
          ? `The schema is at ${last}, as this version has it.`
          : `The schema is at ${last}, which a newer version has made.`,
      );
    },
  },
  {
    check: "rights in Postgres",
    async look() {
      const rights = await readRights(db);
      if (rights?.lack === undefined) return ok("The role may do all that a replica does.");
      return rights.mayWrite
        ? fault(rights.lack)
        : ok(`Role ${rights.role} may write nothing: it is one to look with, and no replica starts as it.`);
    },
  },
  {
    check: "settings of Postgres",
    async look() {
      const settings = await readServerSettings(db);
      const unsafe = (["fsync", "full_page_writes", "synchronous_commit"] as const).filter(
        (name) => settings[name] === "off",
      );
      if (unsafe.length > 0)
        return fault(
          `${unsafe.join(" and ")} ${unsafe.length === 1 ? "is" : "are"} off: a crash loses what was answered; switch ${unsafe.length === 1 ? "it" : "them"} on.`,
        );
      if (settings.autovacuum === "off")
        return warning("autovacuum is off: tables grow, and queries become slow; switch it on.");
      const free = Number(settings.max_connections) - settings.connections;
      if (free < poolSize)
        return warning(
          `Of ${settings.max_connections} connections ${free} are free, too few for one more replica with DATABASE_POOL_SIZE ${poolSize}; raise max_connections, or lower the size.`,
        );
      return ok("What was committed survives a crash, and there is room for one more replica.");
    },
  },
  {
    check: "old rows",
    look: async () => judgeKeeper(await findKeeper(db)),
  },
  {
    check: "clock of Postgres",
    async look() {
      const fromMs = Date.now();
      const clock = await databaseNow(db);
      return judgeClock("Postgres", clock.getTime(), { fromMs, untilMs: Date.now() });
    },
  },
  {
    check: "work that is late",
    async look() {
      const { overdueStarts, overdueMs, expiredLeases, unended } = await countStuck(db);
      const said = [
        overdueStarts > 0 &&
          `starts that are late: ${overdueStarts} (by up to ${Math.round(overdueMs / 1000)} s)`,
        expiredLeases > 0 && `leases that have run out and were not ended: ${expiredLeases}`,
        unended > 0 && `running jobs that have nothing open and have not ended: ${unended}`,
      ].filter((part) => part !== false);
      if (said.length === 0) return ok("No start, lease or job waits for a replica.");
      return fault(`There are ${said.join("; ")}. See that a replica runs, and what it logs.`);
    },
  },
  {
    check: "invariants",
    async look() {
      const broken = await findBroken(db);
      if (broken.length === 0) return ok("The jobs that were changed last are as they must be.");
      const said = broken.map(({ rule, jobs }) => `"${rule}" does not hold (${jobs.join(", ")})`);
      return fault(
        `${said.join("; ")}: somebody else has written to the tables, or this is a bug; report it.`,
      );
    },
  },
];
