import type { Mutant } from "./mutants.ts";

const connections = "test/postgres/connections.test.ts";

/** Of reads that run often, and of those that may take long. */
export const reads: readonly Mutant[] = [
  {
    guard: "over a pooler no statement is prepared",
    file: "src/postgres/connections/sure-commits.ts",
    text: "toBring === undefined ? preparedName(text) : undefined",
    instead: "preparedName(text)",
    test: "test/postgres/poolers.test.ts",
    title: "in transaction mode no statement is prepared, which the next process would not know",
  },
  {
    guard: "a connection that has a statement prepared which is out of date is not used again",
    file: "src/postgres/connections/sure-commits.ts",
    text: "isOutOfDate ||= name !== undefined && isOutdated(error);",
    instead: "",
    test: "test/postgres/prepared.test.ts",
    title: "that the tables have changed under fails once, and its connection is not used again",
  },
  {
    guard: "searches leave connections to other reads",
    file: "src/postgres/connections/connections.ts",
    text: "() => searches.take(sharePatienceMs),",
    instead: "",
    test: connections,
    title: "leaves connections to other reads, whoever else searches",
  },
  {
    guard: "searches of one organization take turns with those of others",
    file: "src/postgres/connections/connections.ts",
    text: "() => shareOfSearches(organizationId),",
    instead: "",
    test: connections,
    title: "is followed by the one of another organization, however many its own wants",
  },
  {
    guard: "a search is ended early",
    file: "src/postgres/connections/searches.ts",
    text: "await sql`set local statement_timeout = ${sql.lit(timeoutMs)}`.execute(trx);",
    instead: "",
    test: "test/postgres/search-time.test.ts",
    title: "a search is ended before other reads would be, as busy, and leaves the connection as it was",
  },
  {
    guard: "a search has no more time than its call",
    file: "src/postgres/connections/searches.ts",
    text: "Math.min(longestMs, leftMs)",
    instead: "longestMs",
    test: "test/service/search-deadlines.test.ts",
    title: "ends in Postgres once its deadline is over",
  },
  {
    guard: "a search that nobody waits for is not begun",
    file: "src/postgres/connections/searches.ts",
    text: "call?.signal.throwIfAborted();",
    instead: "",
    test: "test/postgres/search-time.test.ts",
    title: "a search that nobody waits for any more is not begun, and leaves its connection to others",
  },
  {
    guard: "a list that cannot be read keeps no other of its organization from being looked at",
    file: "src/redis/contact-list.ts",
    text: "return await lookApart(asked, error);",
    instead: "throw error;",
    test: "test/redis/contact-list.test.ts",
    title: "of one that is not a list fails alone, however many it is looked at with",
  },
  {
    guard: "a reader of some jobs' events is not taken past what was not looked at",
    file: "src/postgres/events/events.ts",
    text: "having count(*) = ${part.size}",
    instead: "having false",
    test: "test/events/events-of-jobs.test.ts",
    title: "sees each once and in order, whatever a page holds and however many are looked at for it",
  },
  {
    guard: "numbers that are far apart are on the list as they are",
    file: "src/redis/steps.ts",
    text: "    for (; way >= longest; way -= longest) steps[size++] = longest;\n",
    instead: "",
    test: "test/redis/contact-list.test.ts",
    title: "takes 10,000 numbers at once, however far apart they are",
  },
];
