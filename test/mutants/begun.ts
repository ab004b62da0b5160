import type { Mutant } from "./mutants.ts";

const begun = "src/leasing/begun.ts";
const test = "test/leasing/begun.test.ts";
const ahead = "src/leasing/ahead.ts";
const aheadTest = "test/leasing/ahead.test.ts";

/** What is offered to workers who wait as it begins, or looked for before it opens. */
export const begunJobs: Mutant[] = [
  {
    guard: "a job that begins is offered to those who wait on the replica that starts it",
    file: "src/leasing/desk-turn.ts",
    text: "if (offered.length > 0) return",
    instead: "if (offered.length > 1_000_000) return",
    test,
    title: "is with whoever waits on its replica before its contacts are on a list",
  },
  {
    guard: "a job is offered only if all of its contacts may be called at once",
    file: begun,
    text: "zoneSets === 0 && totalContacts <= concurrentCallLimit",
    instead: "true",
    test,
    title: "of a job it is looked whether",
  },
  {
    guard: "jobs that begin have every other turn at most: others have waited for longer",
    file: begun,
    text: "const taken = hadTurn ? [] : waiting;",
    instead: "const taken = waiting;",
    test,
    title: "have every other turn of a desk at most",
  },
  {
    guard: "few jobs that begin are kept for a turn",
    file: begun,
    text: ".slice(0, mostJobs)",
    instead: "",
    test,
    title: "are kept up to 1,000",
  },
  {
    guard: "a job that begins is not offered to those who name others",
    file: begun,
    text: "only.size === 0 ? jobs : jobs.filter(({ key }) => only.has(key.id))",
    instead: "jobs",
    test,
    title: "is given to those who name it, and to nobody who names others",
  },
  {
    guard: "where so many jobs are due that lists wait, none is offered",
    file: "src/starting/scheduler.ts",
    text: "if (some.length < batchSize && started.length > 0)",
    instead: "if (started.length > 0)",
    test: "test/starting/scheduler.test.ts",
    title: "starts them before it fills lists",
  },
  {
    guard: "contacts are looked for before their time once, and not again and again until it comes",
    file: ahead,
    text: "opening.isLookedFor = true;",
    instead: "",
    test: aheadTest,
    title: "is none once it has come, or was looked for",
  },
  {
    guard: "contacts are reserved a little before their time, and not long before",
    file: ahead,
    text: "toOpening <= 0 || toOpening > aheadMs",
    instead: "toOpening <= 0",
    test: aheadTest,
    title: "are not looked for long before",
  },
  {
    guard: "the time that contacts were looked for is waited for",
    file: ahead,
    text: "const until = beganMs + Math.min(opening.atMs - clock.now(), mostAheadMs);",
    instead: "const until = beganMs;",
    test: aheadTest,
    title: "is waited for",
  },
  {
    guard: "where turns take long, contacts are looked for as much sooner",
    file: "src/leasing/desk-turn.ts",
    text: "if (openings.length > 0) ahead.noteTurn(organizationId, performance.now() - beganMs - waitedMs);",
    instead: "",
    test: aheadTest,
    title: "are looked for sooner where turns take long, but not by one that records reports",
  },
  {
    guard: "a turn that records reports does not wait longer for it",
    file: "src/leasing/desk-turn.ts",
    text: "calls.length > 0 ? leastAheadMs : ahead.msOf(desk.organizationId)",
    instead: "ahead.msOf(desk.organizationId)",
    test: aheadTest,
    title: "are looked for sooner where turns take long, but not by one that records reports",
  },
  {
    guard: "what a pace allows, which every lease changes, is not looked for before",
    file: "src/leasing/desk.ts",
    text: "const openings = opensAt.map((at) => at.getTime());",
    instead: "const openings = [readyAt, ...opensAt].flatMap((at) => at?.getTime() ?? []);",
    test: aheadTest,
    title: "what a pace allows is not looked for before",
  },
  {
    guard: "the openings after the next one are looked for too, by whatever turn comes then",
    file: "src/leasing/desk-turn.ts",
    text: "desk.openings = ahead.leftOf(desk.openings);",
    instead: "desk.openings = desk.openings.slice(0, 1);",
    test: aheadTest,
    title: "are looked for by whatever turn comes then, known from when the one before was",
  },
  {
    guard: "a pattern of the proto means the same as to the validator",
    file: "src/rpc/requests/validation.ts",
    text: 'new RegExp(pattern, "u")',
    instead: "new RegExp(pattern)",
    test: "test/rpc/patterns.test.ts",
    title: "a text is judged as the validator's own expressions judge it",
  },
];
