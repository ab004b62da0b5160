import type { Mutant } from "./mutants.ts";

const hours = "src/domain/time/hours.ts";
const test = "test/domain/hours.test.ts";

/** When calls are allowed, and why they are not made. */
export const callingHours: Mutant[] = [
  {
    guard: "in no zone nobody is called",
    file: hours,
    text: "zones.length === 0 ? [] : [within]",
    instead: "[within]",
    test,
    title: "is never there for",
  },
  {
    guard: "an opening closes early by the longest of the times that its hours say",
    file: hours,
    text: "Math.max(0, ...hours.map((each) => each.closeEarlyMs))",
    instead: "hours[0]?.closeEarlyMs ?? 0",
    test,
    title: "closes as early as either says",
  },
  {
    guard: "an opening that would close before it opens is none",
    file: hours,
    text: "closesMs > Math.max(fromMs, atMs)",
    instead: "closesMs > atMs - 86_400_000",
    test,
    title: "is passed over where it would close before it opens",
  },
  {
    guard: "local time is that of each instant, however the clocks change meanwhile",
    file: "src/domain/time/zone-offsets.ts",
    text: "if (next === offsetMs) continue;",
    instead: "if (next === offsetMs || atMs > 0) continue;",
    test,
    title: "both passes of a doubled hour are open",
  },
  {
    guard: "a job is not said to want for workers while nobody knows",
    file: "src/domain/jobs/holds.ts",
    text: "around.hasWorker === false ?",
    instead: "around.hasWorker !== true ?",
    test: "test/domain/holds.test.ts",
    title: "by nothing that is known where nobody knows of workers",
  },
  {
    guard: "who asks for contacts fills no memory of Redis",
    file: "src/redis/askers.ts",
    text: 'redis.call("ZREMRANGEBYRANK", KEYS[1], 0, -1 - ARGV[3])',
    instead: "",
    test: "test/redis/askers.test.ts",
    title: "of one organization no more than a thousand are kept",
  },
  {
    guard: "contacts are said to be held while the hours of their job are closed",
    file: "src/postgres/jobs/surroundings.ts",
    text: "coalesce(z.open_from <= clock.now and clock.now < z.open_until, false)",
    instead: "true",
    test: "test/jobs/holds.test.ts",
    title: "while its hours are closed, until they open",
  },
  {
    guard: "a plan makes no call outside of hours",
    file: "src/domain/jobs/plan.ts",
    text: "(current.get(set)?.fromMs ?? Infinity) <= atMs",
    instead: "current.get(set) !== undefined",
    test: "test/domain/plan.test.ts",
    title: "makes no call outside of hours, and says when each set opens",
  },
  {
    guard: "a plan has no call in a slot whose call goes on",
    file: "src/domain/jobs/plan.ts",
    text: "limitAt(atMs) - inProgress",
    instead: "limitAt(atMs)",
    test: "test/domain/plan.test.ts",
    title: "begins as many calls as the limit allows, one after the other",
  },
  {
    guard: "a contact is said to be called again when its hours are open",
    file: "src/postgres/contacts/next-attempts.ts",
    text: "new Date(Math.max(at.getTime(), opening.fromMs))",
    instead: "at",
    test: "test/jobs/next-attempt.test.ts",
    title: "a contact is called again when its hours open, if its delay is over before",
  },
];
