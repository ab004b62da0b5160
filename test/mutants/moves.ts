import type { Mutant } from "./mutants.ts";

const test = "test/jobs/rescheduling.test.ts";
const rescheduling = "src/jobs/commands/rescheduling.ts";

/** Commands on many jobs. */
export const moves: Mutant[] = [
  {
    guard: "a job is moved once for a request id, however often that comes",
    file: rescheduling,
    text: "answersOf === undefined ? undefined : { organizationId, rpc: answersOf, requestId: id, fingerprint };",
    instead: "undefined;",
    test,
    title: "moves the rest, where the first call was left by its caller",
  },
  {
    guard: "a repetition answers of those that wait no more",
    file: rescheduling,
    text: "createdUpTo: new Date(begun.begunMs), answersOf }",
    instead: "createdUpTo: new Date(begun.begunMs) }",
    test,
    title: "answers again of all that were moved, whatever has become of them, and moves none twice",
  },
  {
    guard: "a page of jobs that wait, or were moved, ends where one of both was cut off",
    file: "src/postgres/jobs/waiting-jobs.ts",
    text: "isWanted && (goesOnAfter === undefined || id <= goesOnAfter)",
    instead: "isWanted",
    test,
    title: "answers of more jobs than are looked at at once, most of which wait no more",
  },
  {
    guard: "a job whose start has left the window is not moved",
    file: rescheduling,
    text: "  checkStillMeant(job, filter);\n",
    instead: "",
    test,
    title: "a job whose start left the window since it was looked for is refused, and is as it was made then",
  },
  {
    guard: "jobs that are created while others are moved are left as they are",
    file: "src/postgres/jobs/waiting-jobs.ts",
    text: "created_at <= ${createdUpTo} and",
    instead: "",
    test,
    title: "no job that is created while it goes on",
  },
  {
    guard: "a start that is moved forward does not go back where the clocks do",
    file: "src/domain/time/start-time.ts",
    text: "return isBehind && second !== undefined ? wordsOf(second, zone, true) : words;",
    instead: "return isBehind && false ? wordsOf(second ?? 0, zone, true) : words;",
    test: "test/domain/start-time.test.ts",
    title: "a start that is shifted is shown as so much later, or earlier",
  },
];
