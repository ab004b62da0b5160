import type { Mutant } from "./mutants.ts";

const refusals = "src/rpc/gate/refusal-log.ts";
const unreadLog = "test/service/unread-log.test.ts";
const checks = "test/rpc/checks.test.ts";
const behind = "test/starting/sweep/postgres-behind.test.ts";
const partsThatFail = "test/starting/sweep/parts-that-fail.test.ts";

/** What grows, or is done again and again, while somebody floods, or something stays broken. */
export const floods: Mutant[] = [
  {
    guard: "an organization whose calls have ended leaves no queue behind",
    file: "src/timing/coalesce.ts",
    text: "if (queue.inHand === 0) queues.delete(key);",
    instead: "",
    test: "test/timing/coalesce.test.ts",
    title: "nothing is kept of a key whose calls have ended, well or not",
  },
  {
    guard: "nor a place in a line",
    file: "src/timing/turns.ts",
    text: "if (turns.inHand === 0) byKey.delete(key);",
    instead: "",
    test: "test/timing/turns.test.ts",
    title: "nothing is kept of a key whose work has ended, well or not",
  },
  {
    guard: "a server that cannot be scanned keeps no keys on the others",
    file: "src/redis/contact-list.ts",
    text: "scanOne(one).catch((error) => void failures.push(error))",
    instead: "scanOne(one)",
    test: "test/redis/scan-of-shards.test.ts",
    title: "one of whose masters cannot be asked are found on the others",
  },
  {
    guard: "keys that cannot be removed keep no others",
    file: "src/starting/sweep-lists.ts",
    text: ".map((job) => tried(remove(job)))",
    instead: ".map((job) => remove(job))",
    test: partsThatFail,
    title: "keys that cannot be looked for in one place, or removed, not from the others",
  },
  {
    guard: "keys that cannot be looked for in one place are told of, and those of others removed",
    file: "src/starting/sweep-lists.ts",
    text: "const failures = [...found.failures];",
    instead: "const failures: unknown[] = [];\n      for (const failure of found.failures) throw failure;",
    test: partsThatFail,
    title: "keys that cannot be looked for in one place, or removed, not from the others",
  },
  {
    guard: "refused calls are logged at a rate",
    file: refusals,
    text: "if (logged === mostASecond) {",
    instead: "if (logged < 0) {",
    test: "test/rpc/refusal-log.test.ts",
    title: "of calls that are refused together ten are logged",
  },
  {
    guard: "those that are not logged are counted",
    file: refusals,
    text: "unlogged += 1;",
    instead: "",
    test: "test/rpc/refusal-log.test.ts",
    title: "of calls that are refused together ten are logged",
  },
  {
    guard: "the log waits for nobody who reads it",
    file: "src/vitals/logger.ts",
    text: "sync: false",
    instead: "sync: true",
    test: unreadLog,
    title: "a log that nobody reads stops nothing",
  },
  {
    guard: "a refusal shows twenty violations at most",
    file: "src/rpc/requests/validation.ts",
    text: "violations.slice(0, mostViolations)",
    instead: "violations",
    test: "test/service/bad-input.test.ts",
    title: "shows the first 20 of many violations, and says how many more there are",
  },
  {
    guard: "fields that nobody knows are counted before anything is made of them",
    file: "src/rpc/requests/count-binary.ts",
    text: "if ((unknown += 1) > mostUnknown) throw tooManyUnknown(inside);",
    instead: "",
    test: checks,
    title: "are refused before they are made into objects: too many",
  },
  {
    guard: "the elements of a packed list are counted in its bytes",
    file: "src/rpc/requests/count-binary.ts",
    text: "return countPacked(field.wireType, from, length);",
    instead: "void countPacked(field.wireType, from, length);\n      return 1;",
    test: checks,
    title: "are refused before they are made into objects: too many",
  },
  {
    guard: "what needs a key has no more than its own method may",
    file: "src/rpc/requests/limits.ts",
    text: "getOption(method, max_request_bytes) || usualBytes;",
    instead: "16 * 1024 * 1024;",
    test: "test/service/bad-input.test.ts",
    title: "refuses a read of more than 64 KiB, whatever is in it",
  },
  {
    guard: "a list that is longer than Postgres knows fails no fan-out",
    file: "src/starting/fan-out.ts",
    text: "if (position.last > totalContacts) return;",
    instead: "",
    test: behind,
    title: "stops no fan-out, and is started over by the sweep",
  },
  {
    guard: "a position of a run that Postgres has forgotten goes",
    file: "src/starting/sweep-lists.ts",
    text: "const revision = position === undefined ? state?.revision : revisionOf(position);",
    instead: "const revision = state?.revision;",
    test: behind,
    title: "a run that Postgres has forgotten leaves no keys, and the next run has its whole list",
  },
  {
    guard: "that Postgres has lost commits is said once",
    file: "src/starting/sweep.ts",
    text: "if (ahead > 0 && !wasAhead) {",
    instead: "if (ahead > 0 || wasAhead) {",
    test: behind,
    title: "that Postgres has lost commits is told once, as an error, and counted for each job",
  },
  {
    guard: "each job that Postgres has forgotten something of is counted",
    file: "src/starting/sweep.ts",
    text: "metrics.postgresBehindRedis.inc();",
    instead: "",
    test: behind,
    title: "that Postgres has lost commits is told once, as an error, and counted for each job",
  },
];
