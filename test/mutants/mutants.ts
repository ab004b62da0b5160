import { reads } from "./reads.ts";
import { shares } from "./shares.ts";

/**
 * A guard that is taken out, and the test that must then fail. test/README.md shows the guards; `npm run test:mutants`
 * takes each of them out in a copy of the tree and runs its test.
 */
export type Mutant = {
  /** What the guard sees to. */
  readonly guard: string;
  readonly file: string;
  /** Occurs once in the file. */
  readonly text: string;
  /** What stands there without the guard. */
  readonly instead: string;
  readonly test: string;
  /** Of the test, or a part that is the same for all rows of its table. */
  readonly title: string;
};

const batchJobs = "src/postgres/batch-jobs.ts";
const openLeases = "src/postgres/functions/open_leases.sql";
const endLeases = "src/postgres/functions/end_leases.sql";
const extendLeases = "src/postgres/functions/extend_leases.sql";
const takeOverLeases = "src/postgres/functions/take_over_leases.sql";
const lockForCommands = "src/postgres/functions/lock_for_commands.sql";
const startDueJobs = "src/postgres/functions/start_due_jobs.sql";
const lists = "src/redis/contact-list.ts";
const schedule = "src/redis/schedule.ts";
const unusableRedis = "test/redis/unusable.test.ts";

const restRequests: Mutant[] = [
  {
    guard: "a page of jobs is one of the caller's organization",
    file: "src/postgres/offset-pages.ts",
    text: "where organization_id = ${organizationId}",
    instead: "where ${organizationId}::text is not null",
    test: "test/rest/reads.test.ts",
    title: "has each job as the pages describe it, newest first",
  },
  {
    guard: "an organizationId that is not the key's own is refused",
    file: "src/rest/input.ts",
    text: `if (given === "" || given === String(own)) return;`,
    instead: "if (given !== String(own)) return;",
    test: "test/rest/reads.test.ts",
    title: "takes the organization's own id, and refuses another one",
  },
  {
    guard: "the values of a JSON body are counted before it is parsed",
    file: "src/rest/input.ts",
    text: "if (values > mostValues) {",
    instead: "if (values < 0) {",
    test: "test/rest/create.test.ts",
    title: "refuses millions of values before it makes any",
  },
  {
    guard: "nothing is made of a form that breaks off",
    file: "src/rest/form.ts",
    text: `parser.on("error", () => reject(malformed()));`,
    instead: `parser.on("error", resolve);`,
    test: "test/rest/create.test.ts",
    title: "keeps nothing of a form that ends after",
  },
];

const starts: Mutant[] = [
  {
    guard: "a command judges the job's status before it changes anything",
    file: "src/jobs/judgement.ts",
    text: "checkAllowed(command, job);",
    instead: "",
    test: "test/races/start.test.ts",
    title: "of two starts at once exactly one wins, and the other is refused as already running",
  },
  {
    guard: "a command has locked the job when it judges its status",
    file: lockForCommands,
    text: "    for no key update skip locked\n",
    instead: "",
    test: "test/races/start.test.ts",
    title: "of two starts at once exactly one wins, and the other is refused as already running",
  },
  {
    guard: "a command reaches jobs of the caller's organization only",
    file: lockForCommands,
    text: "from batch_jobs where id = t.id and organization_id = organization\n    for no key update skip locked",
    instead: "from batch_jobs where id = t.id\n    for no key update skip locked",
    test: "test/jobs/command-conditions.test.ts",
    title: "of another organization's job changes nothing",
  },
  {
    guard: "contacts are added to jobs of the caller's organization only",
    file: batchJobs,
    text: `.where("organization_id", "=", organizationId)\n    .where("id", "=", id)\n    .forNoKeyUpdate()`,
    instead: `.where("id", "=", id)\n    .forNoKeyUpdate()`,
    test: "test/jobs/command-conditions.test.ts",
    title: "of another organization's job changes nothing",
  },
  {
    guard: "every key and index begins with whose the row is",
    file: "src/postgres/migrations/0012-owners.ts",
    text: "add primary key (organization_id, job_id, number, attempt)",
    instead: "add primary key (job_id, number, attempt, organization_id)",
    test: "test/postgres/owners.test.ts",
    title: "every key and every index begins with whose the row is, but for those that have a reason",
  },
  {
    guard: "a report ends leases of its organization only, whatever else has their ids",
    file: endLeases,
    text: "where l.organization_id = g.organization_id and l.job_id",
    instead: "where l.job_id",
    test: "test/postgres/twins.test.ts",
    title: "one leases, repeats, extends, reports, releases and lets run out",
  },
  {
    guard: "a command changes a job only at the revision that the caller expects",
    file: "src/jobs/checks.ts",
    text: `if (expected === undefined || BigInt(expected) === BigInt(job.revision)) return;`,
    instead: "if (expected !== null) return;",
    test: "test/jobs/command-conditions.test.ts",
    title: "changes nothing if it is",
  },
  {
    guard: "a due start acts for the entry that the job has now, and for no other job",
    file: startDueJobs,
    text: "where scheduled_job_id = entry.id and status = 'scheduled' and scheduled_at <= begun",
    instead: "where status = 'scheduled' and scheduled_at <= begun",
    test: "test/postgres/batch-jobs.test.ts",
    title: "the entries given start their jobs, and no other job that is due",
  },
  {
    guard: "no job starts before its time by the database's clock, when many are started together",
    file: startDueJobs,
    text: " and scheduled_at <= begun",
    instead: "",
    test: "test/postgres/batch-jobs.test.ts",
    title: "an entry whose time has not come starts nothing, and holds up no other",
  },
  {
    guard: "an entry that comes before its time by the database's clock is put back",
    file: "src/starting/due-starts.ts",
    text: ".filter(({ overdueMs }) => overdueMs < 0)",
    instead: ".filter(() => false)",
    test: "test/starting/scheduler.test.ts",
    title: "by an hour ahead starts nothing early, gives entries their times back, and measures its clock",
  },
  {
    guard: "a start takes the entry away from the job",
    file: startDueJobs,
    text: "scheduled_job_id = null, ",
    instead: "",
    test: "test/starting/state-matrix-due.test.ts",
    title: "a scheduled job runs when its time comes, and its lateness is kept",
  },
  {
    guard: "a job with a contact in a call is not deleted",
    file: "src/domain/batch-job.ts",
    text: `if (verdict === "gone" && job.dialing > 0) {`,
    instead: `if (verdict === "gone" && job.dialing > 1_000_000) {`,
    test: "test/jobs/command-conditions.test.ts",
    title: "job from deletion",
  },
];

const requests: Mutant[] = [
  {
    guard: "a request id that was used is answered, and nothing is done again",
    file: "src/jobs/command.ts",
    text: "if (kept !== undefined) return { answer: kept.answer as A, entryRemoved: kept.entryRemoved };",
    instead: "",
    test: "test/jobs/requests.test.ts",
    title: "make one job and have equal answers",
  },
  {
    guard: "the answer is kept with what was done",
    file: "src/jobs/command.ts",
    text: "if (key !== undefined) await keepAnswer(trx, key, decided);",
    instead: "",
    test: "test/jobs/requests.test.ts",
    title: "is answered as at first when its job has moved on",
  },
  {
    guard: "a request id is not taken for another request",
    file: "src/postgres/requests.ts",
    text: "if (kept.fingerprint.equals(key.fingerprint)) return;",
    instead: "if (kept.fingerprint !== key.fingerprint) return;",
    test: "test/jobs/requests.test.ts",
    title: "is refused for create",
  },
  {
    guard: "a request id is kept for 24 hours",
    file: "src/postgres/requests.ts",
    text: `.where("requests.created_at", "<", sql<Date>\`clock_timestamp() - \${expiry}\`)`,
    instead: "",
    test: "test/jobs/requests.test.ts",
    title: "is taken for almost 24 hours",
  },
  {
    guard: "a command's answer does not wait for Redis",
    file: "src/jobs/redis-halves.ts",
    text: "const done = await Promise.all(halves.map(time.within));",
    instead: "const done = await Promise.all(halves);",
    test: "test/jobs/without-redis.test.ts",
    title: "every command is answered while Redis",
  },
];

const together = "src/jobs/together.ts";
const judgement = "src/jobs/judgement.ts";
const togetherTest = "test/jobs/together/together.test.ts";

const inHandTogether: Mutant[] = [
  {
    guard: "commands of two organizations share no transaction",
    file: together,
    text: "await inHand(organizationId, command)",
    instead: "await inHand(0, command)",
    test: togetherTest,
    title: "is shared by the commands of one organization, and by no other's",
  },
  {
    guard: "of commands on one job in one transaction each sees what those before it have made of the job",
    file: judgement,
    text: "jobs.set(decision.changed.id, decision.changed);",
    instead: "",
    test: togetherTest,
    title: "each sees what those before it have made of the job, and its revision",
  },
  {
    guard: "a job that a command deletes is gone for those after it",
    file: judgement,
    text: "jobs.delete(decision.deleted.id);",
    instead: "",
    test: togetherTest,
    title: "those after a deletion find no job",
  },
  {
    guard: "a refusal in a transaction touches no command beside it",
    file: judgement,
    text: `if (error instanceof BatchJobError) return { kind: "refused", refusal: error };`,
    instead: "",
    test: togetherTest,
    title: "a command that is refused touches none beside it",
  },
  {
    guard: "a request beside its first call is answered as that",
    file: judgement,
    text: "const first = firsts.get(nameOf(key));",
    instead: `const first = firsts.get("");`,
    test: togetherTest,
    title: "has the same answer, and nothing is done twice",
  },
  {
    guard: "another request under the same id beside it is refused",
    file: judgement,
    text: "      checkSame(first.kept, key);\n",
    instead: "",
    test: togetherTest,
    title: "is refused if it asks for something else",
  },
  {
    guard: "if a transaction as a whole fails, each of its commands is tried alone",
    file: together,
    text: `return commands.map(() => "alone");`,
    instead: "throw error;",
    test: togetherTest,
    title: "each is tried alone, and only that which cannot be done fails",
  },
  {
    guard: "what a request id was taken for meanwhile is not done again",
    file: together,
    text: "if (!isKept) throw new RequestIdTaken();",
    instead: "if (!isKept) return verdicts;",
    test: togetherTest,
    title: "because a request id was taken meanwhile, that one is answered as the first call was",
  },
  {
    guard: "a job that somebody else has locked holds up no commands on others",
    file: lockForCommands,
    text: "for no key update skip locked",
    instead: "for no key update",
    test: togetherTest,
    title: "holds up the commands on it, and no others",
  },
  {
    guard: "what commands write finds its rows by their keys, whatever Postgres knew when it planned",
    file: "src/postgres/functions/note_entries_removed.sql",
    text: "where r.organization_id = t.organization_id and",
    instead: "where r.organization_id = organization and",
    test: "test/postgres/command-plans.test.ts",
    title: "commands touch no more rows than they must, however the tables grow under planned statements",
  },
];

const claims: Mutant[] = [
  {
    guard: "a claim moves the due entries, so that nobody else gets them and they come again",
    file: schedule,
    text: `for i = 1, #due, 2 do redis.call("ZADD", KEYS[1], ARGV[3], due[i]) end`,
    instead: "",
    test: "test/redis/schedule.test.ts",
    title: "takes what is due, earliest first, moves it, and answers when the next one is due",
  },
  {
    guard: "entries have their old times again when Postgres fails",
    file: "src/starting/scheduler.ts",
    text: "await schedule.rescore(some).catch(() => {});",
    instead: "",
    test: "test/starting/scheduler.test.ts",
    title: "have their old times again when Postgres fails",
  },
  {
    guard: "an entry that has been taken off is not brought back by moving it",
    file: schedule,
    text: `redis.zadd(keys.due, "XX", ...pairs)`,
    instead: "redis.zadd(keys.due, ...pairs)",
    test: "test/redis/schedule.test.ts",
    title: "moves entries that are there, and never adds one again",
  },
  {
    guard: "an entry that is there is not moved by adding what is missing",
    file: schedule,
    text: `redis.zadd(keys.due, "NX", ...pairs)`,
    instead: "redis.zadd(keys.due, ...pairs)",
    test: "test/redis/schedule.test.ts",
    title: "adds what is not there, leaves the others where they are, and answers how many it added",
  },
];

const locked: Mutant[] = [
  {
    guard: "a due job whose row is locked is tried again at once, and not when its claim runs out",
    file: "src/starting/scheduler.ts",
    text: "schedule.rescore([...later, ...soon])",
    instead: "schedule.rescore(later)",
    test: "test/starting/scheduler.test.ts",
    title: "because someone has locked its row: the pass waits for nobody, and a later one starts it",
  },
  {
    guard: "a due job whose row is never found free has its turn in the row's queue",
    file: "src/starting/scheduler.ts",
    text: ".slice(0, mostQueued - queued.size)",
    instead: ".slice(0, 0)",
    test: "test/starting/scheduler-loop.test.ts",
    title: "has its turn in the row's queue where others lock it one after the other",
  },
  {
    guard: "an entry whose time came between two looks is tried again",
    file: "src/starting/due-starts.ts",
    text: "const again = due.length === 0 ?",
    instead: "const again = due.length >= 0 ?",
    test: "test/starting/scheduler.test.ts",
    title: "an entry is started at once if its time came after Postgres looked for what is due",
  },
];

const positionCheck = "if at ~= ARGV[1] then return { 0, at } end";
const restartCheck = `if redis.call("GET", KEYS[1]) ~= ARGV[1] or redis.call("EXISTS", KEYS[2], KEYS[3]) > 0 then return 0 end`;

const fanOut: Mutant[] = [
  {
    guard: "a chunk is put on the list at the position that it was read for, and so once",
    file: lists,
    text: positionCheck,
    instead: "",
    test: "test/redis/contact-list.test.ts",
    title: "does nothing the second time, and answers where the position is",
  },
  {
    guard: "two replicas that fan one job out put no number on its list twice",
    file: lists,
    text: positionCheck,
    instead: "",
    test: "test/races/fan-out.test.ts",
    title: "the list holds each number once, in order, and both have put chunks on it",
  },
  {
    guard: "a chunk of an epoch that has passed is not put on the list",
    file: lists,
    text: positionCheck,
    instead: `if not at or string.match(at, ":%d+$") ~= string.match(ARGV[1], ":%d+$") then return { 0, at } end`,
    test: "test/redis/contact-list.test.ts",
    title: "does nothing under an epoch that has passed",
  },
  {
    guard: "a chunk makes no keys where a job has none",
    file: lists,
    text: positionCheck,
    instead: "if at and at ~= ARGV[1] then return { 0, at } end",
    test: "test/redis/contact-list.test.ts",
    title: "does nothing, and makes no key, where there is no position",
  },
  {
    guard: "a run of the job that has begun is not begun again",
    file: lists,
    text: `if seen and tonumber(string.match(seen, "^%d+")) >= tonumber(revision) then return false end`,
    instead: "",
    test: "test/redis/contact-list.test.ts",
    title: "leaves a job alone that has a position of revision 5",
  },
  {
    guard: "a new run begins with an empty list",
    file: lists,
    text: `redis.call("UNLINK", contacts, reserved)`,
    instead: "",
    test: "test/redis/contact-list.test.ts",
    title: "at a later revision starts over with an empty list",
  },
  {
    guard: "a fan-out that moves is not started over",
    file: lists,
    text: restartCheck,
    instead: `if redis.call("EXISTS", KEYS[2], KEYS[3]) > 0 then return 0 end`,
    test: "test/redis/contact-list.test.ts",
    title: "leaves a position alone that has moved, or has been started over by another",
  },
  {
    guard: "a list with something on it is not started over",
    file: lists,
    text: restartCheck,
    instead: `if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end`,
    test: "test/redis/contact-list.test.ts",
    title: "leaves a list alone on which something is",
  },
  {
    guard: "the end of one run does not remove the keys of the next",
    file: lists,
    text: `if seen and tonumber(string.match(seen, "^%d+")) > tonumber(ARGV[1]) then return 0 end`,
    instead: "",
    test: "test/redis/contact-list.test.ts",
    title: "at an earlier revision leaves the keys of a later run alone",
  },
  {
    guard: "the keys of a job lie in one slot of a cluster",
    file: "src/redis/keys.ts",
    text: "`${prefix}:{${job.organizationId}}:${job.id}:position`",
    instead: "`${prefix}:${job.organizationId}:${job.id}:position`",
    test: "test/redis/contact-list.test.ts",
    title: "the keys of one job lie in one slot of a cluster",
  },
  {
    guard: "a fan-out of a job that does not run any more stops, and takes the keys away",
    file: "src/starting/fan-out.ts",
    text: `if (chunk?.status !== "running") {`,
    instead: "if (chunk === undefined) {",
    test: "test/starting/fan-out.test.ts",
    title: "and removes the keys when the job turns out to be cancelled in the middle",
  },
  {
    guard: "what is added is compared with a file's contacts, too",
    file: "src/jobs/batch-jobs.ts",
    text: "if (!job.has_all_phones) throw new PhonesAreMissing(job);",
    instead: "",
    test: "test/jobs/import/contact-import.test.ts",
    title: "are known to later calls",
  },
  {
    guard: "a file is compared with an earlier file's contacts",
    file: "src/jobs/import/contact-import.ts",
    text: "if (withPhones && !before.has_all_phones) throw new PhonesAreMissing(before);",
    instead: "",
    test: "test/jobs/import/contact-import.test.ts",
    title: "are known to a file that comes after them",
  },
  {
    guard: "of one organization's files at most two are taken at once",
    file: "src/jobs/import/slots.ts",
    text: " && own < perOrganization",
    instead: "",
    test: "test/jobs/import/slots.test.ts",
    title: "an organization has two files taken at once, and others get their turn before its third",
  },
  {
    guard: "a file of which too little arrives gives its place up",
    file: "src/jobs/import/pieces.ts",
    text: "Math.min(leftMs, idleMs, slowMs)",
    instead: "Math.min(leftMs, idleMs)",
    test: "test/jobs/import/contact-import.test.ts",
    title: "of which too little arrives, however often",
  },
  {
    guard: "only contacts that were never called are put on the list",
    file: "src/postgres/contacts.ts",
    text: "select number from attempts where ${first} union all",
    instead: "",
    test: "test/starting/fan-out.test.ts",
    title: "leave out contacts that are not pending",
  },
];

const entrySweep = "src/starting/sweep-entries.ts";
const listSweep = "src/starting/sweep-lists.ts";
const clockAhead = "test/starting/sweep/clock-ahead.test.ts";
const partsThatFail = "test/starting/sweep/parts-that-fail.test.ts";
const postgresBehind = "test/starting/sweep/postgres-behind.test.ts";

const sweeps: Mutant[] = [
  {
    guard: "a schedule that was lost is filled again",
    file: "src/starting/sweep.ts",
    text: `"filling the schedule": () => entries.refill(),`,
    instead: "",
    test: "test/starting/sweep/entries.test.ts",
    title: "for all scheduled jobs, however far off, when the sorted set has lost its mark",
  },
  {
    guard: "an entry that is missing is added before its time",
    file: "src/starting/sweep.ts",
    text: `"adding entries": () => entries.addMissing(),`,
    instead: "",
    test: "test/starting/sweep/entries.test.ts",
    title: "when its job is",
  },
  {
    guard: "an entry that stands too late is brought forward",
    file: entrySweep,
    text: "if (times[i] !== undefined && !isLate) return false;",
    instead: "if (times[i] !== undefined) return false;",
    test: "test/starting/sweep/entries.test.ts",
    title: "is brought forward when its job is overdue",
  },
  {
    guard: "an entry that stands for nothing is taken off",
    file: "src/starting/sweep.ts",
    text: `"taking entries off": () => entries.removeStale(),`,
    instead: "",
    test: "test/starting/sweep/entries.test.ts",
    title: "when its job was cancelled",
  },
  {
    guard: "an entry that stands for nothing is left to whoever is about to take it off",
    file: entrySweep,
    text: "found.filter((id) => before.has(id))",
    instead: "found",
    test: "test/starting/sweep/healthy.test.ts",
    title: "between a cancel and its step in Redis, which takes off the entry itself",
  },
  {
    guard: "an entry that a command is about to add is left to it",
    file: entrySweep,
    text: "return entry.isSettled || ageMs >= settledMs;",
    instead: "return ageMs >= 0;",
    test: "test/starting/sweep/entries.test.ts",
    title: "only when its command has had the time to do it",
  },
  {
    guard: "a list that was lost with its position is made again",
    file: listSweep,
    text: "if (position === undefined) await contactList.create(job, job.revision);",
    instead: "if (position === undefined) return;",
    test: "test/starting/sweep/lists.test.ts",
    title: "with its position",
  },
  {
    guard: "a list that was lost without its position is made again",
    file: listSweep,
    text: `else if (rule === "list_drained") await contactList.restart(job, position, job.revision);`,
    instead: "",
    test: "test/starting/sweep/lists.test.ts",
    title: "when it is empty, and contacts are pending, at the second pass that finds it so",
  },
  {
    guard: "a fan-out that stands still is gone on with",
    file: listSweep,
    text: "void fanOut.run(job);",
    instead: "",
    test: "test/starting/sweep/lists.test.ts",
    title: "at the second pass that finds it where it was",
  },
  {
    guard: "a fan-out that another replica moves on is left to it",
    file: listSweep,
    text: "return isSettled && (position === undefined || ageMs !== undefined)",
    instead: "return isSettled",
    test: "test/starting/sweep/lists.test.ts",
    title: "but is left alone while another replica moves it on",
  },
  {
    guard: "numbers that a replica died with come back",
    file: lists,
    text: `redis.call("LPUSH", contacts, unpack(over))`,
    instead: "",
    test: "test/leasing/redis-away.test.ts",
    title: "numbers that a replica took and died with come back to the head of the list",
  },
  {
    guard: "numbers that were taken by a clock that was ahead come back without waiting for it",
    file: lists,
    text: `if #over == 0 then over = redis.call("ZRANGE", reserved, "(" .. ARGV[3], "+inf", "BYSCORE", "LIMIT", 0, 1000) end`,
    instead: "",
    test: clockAhead,
    title: "numbers that a replica took and died with",
  },
  {
    guard: "a list is made again whatever time its job was changed at",
    file: listSweep,
    text: "const isSettled = job.isSettled || (ageMs ?? 0) >= settledMs;",
    instead: "const { isSettled } = job;",
    test: clockAhead,
    title: "a running job whose list was lost",
  },
  {
    guard: "an entry is added again whatever time its job was changed at",
    file: entrySweep,
    text: "return entry.isSettled || ageMs >= settledMs;",
    instead: "return entry.isSettled;",
    test: clockAhead,
    title: "a scheduled job whose entry was lost",
  },
  {
    guard: "a part of the sweep that fails does not keep it from the others",
    file: "src/starting/sweep.ts",
    text: "isWhole = (await tried(part, work)) && isWhole;",
    instead: "await tried(part, work).then((done) => done || Promise.reject(new Error(part)));",
    test: partsThatFail,
    title: "the schedule not from the lists",
  },
  {
    guard: "an organization whose keys cannot be reached does not keep the sweep from the others",
    file: listSweep,
    text: "failures.set(job.organizationId, error);",
    instead: "throw error;",
    test: partsThatFail,
    title: "an organization's keys not from the lists of the others",
  },
  {
    guard: "keys of a job that does not run are taken away",
    file: "src/starting/sweep.ts",
    text: `"removing what was left": () => lists.removeLeft(),`,
    instead: "",
    test: "test/starting/sweep/lists.test.ts",
    title: "when it was cancelled while Redis was away, at the second pass that finds them",
  },
  {
    guard: "a list that is longer than Postgres knows stops no fan-out",
    file: "src/starting/fan-out.ts",
    text: "if (position.last > total) return;",
    instead: "",
    test: postgresBehind,
    title: "stops no fan-out, and is started over by the sweep",
  },
  {
    guard: "a list of which Postgres has forgotten something is started over",
    file: listSweep,
    text: `if (position !== undefined && isAhead(position, job)) return { job, position, rule: "position_ahead" };`,
    instead: "",
    test: postgresBehind,
    title: "a pause and a resume that Postgres has forgotten",
  },
];

const leasing: Mutant[] = [
  {
    guard: "leases are opened under the lock of their organization",
    file: openLeases,
    text: "from organizations o where o.id = organization for no key update;\n  perform from (select id from unnest(job_ids)",
    instead:
      "from organizations o where o.id = organization;\n  perform from (select id from unnest(job_ids)",
    test: "test/postgres/leases.test.ts",
    title: "none is leased while another transaction takes the organization's last room",
  },
  {
    guard: "no more leases at once than the organization's limit",
    file: openLeases,
    text: "least(o.lease_limit - o.dialing, cardinality(callers))",
    instead: "cardinality(callers)",
    test: "test/postgres/leases.test.ts",
    title: "so many are leased as the organization's limit leaves room for, and the rest is left",
  },
  {
    guard: "no more leases at once than the job's limit",
    file: openLeases,
    text: "rank <= room and slot <= most and",
    instead: "slot <= most and",
    test: "test/postgres/leases.test.ts",
    title: "so many are leased as the job's limit leaves room for, the first ones, and the rest is left",
  },
  {
    guard: "leases are given of jobs that run only",
    file: openLeases,
    text: "where b.status = 'running'\n  ), retry as",
    instead: "), retry as",
    test: "test/leasing/in-hand.test.ts",
    title: "no lease is given after",
  },
  {
    guard: "a contact from a list is leased only if it was never called",
    file: openLeases,
    text: "where a.was_called is null and",
    instead: "where",
    test: "test/postgres/leases.test.ts",
    title: "those are not leased that were called already",
  },
  {
    guard: "a contact that somebody is calling is not leased again",
    file: openLeases,
    text: "and c.is_called is null",
    instead: "",
    test: "test/postgres/leases.test.ts",
    title: "those are not leased that somebody is calling",
  },
  {
    guard: "a report ends its own lease, and no later one of the contact",
    file: endLeases,
    text: "and l.attempt = g.attempt and l.nonce = g.nonce\n      and (not only_expired or l.expires_at <= ending)",
    instead: "and (not only_expired or l.expires_at <= ending)",
    test: "test/leasing/late-reports.test.ts",
    title: "is refused once another attempt was opened, and counts again if that one is released",
  },
  {
    guard: "a lease ends by itself only when its time is over",
    file: endLeases,
    text: "and (not only_expired or l.expires_at <= ending)",
    instead: "",
    test: "test/postgres/leases.test.ts",
    title: "a lease whose time is not over is left alone by those who end what has run out",
  },
  {
    guard: "a lease whose time is over is not extended",
    file: extendLeases,
    text: "and l.expires_at > clock_timestamp()",
    instead: "",
    test: "test/leasing/release.test.ts",
    title: "does not bring back a lease whose time is over, even before the service ends it",
  },
  {
    guard: "a repeat takes leases over under new numbers",
    file: takeOverLeases,
    text: "set nonce = (random() * (2::bigint ^ 48 - 1))::bigint, ticket",
    instead: "set ticket",
    test: "test/leasing/give-ups.test.ts",
    title: "no contact is in two hands, and no lease dies, though workers give calls up",
  },
  {
    guard: "an earlier call takes nothing from its repeat",
    file: takeOverLeases,
    text: "if latest > new_ticket then",
    instead: "if latest < 0 then",
    test: "test/leasing/repeats.test.ts",
    title: "takes nothing from the repeat by what it does under its ticket",
  },
  {
    guard: "whatever a lease id says is compared with the lease",
    file: endLeases,
    text: "and l.attempt = g.attempt and l.nonce = g.nonce",
    instead: "and l.nonce = g.nonce",
    test: "test/leasing/outcomes.test.ts",
    title: "with another attempt in its id than the lease's changes nothing, live or late",
  },
  {
    guard: "an answer of leases is bounded before anything is leased for it",
    file: openLeases,
    text: "or bytes <= most_bytes)",
    instead: "or bytes > 0)",
    test: "test/leasing/answer-size.test.ts",
    title: "400 contacts of 50 kB reach a stock gRPC client in several answers",
  },
  {
    guard: "leases whose answer was not written are released",
    file: "src/rpc/contact-worker-service.ts",
    text: "deliveryOf(context.values).onFailure(() => recorder.takeBack(organizationId, leases));",
    instead: "",
    test: "test/leasing/undelivered.test.ts",
    title: "are released when the client of",
  },
  {
    guard: "a report is given the room that it makes",
    file: "src/leasing/desk.ts",
    text: "ending.set(key.jobId, (ending.get(key.jobId) ?? 0) + 1);",
    instead: "",
    test: "test/leasing/lease-next.test.ts",
    title: "is given the room that it makes, under both limits, and no more",
  },
  {
    guard: "no report fails because nothing can be leased with it",
    file: "src/leasing/desk.ts",
    text: "if (endings.length === 0 || openings.length === 0 || isPostgresUnavailable(error)) throw error;",
    instead: "if (endings.length >= 0) throw error;",
    test: "test/leasing/lease-next.test.ts",
    title: "is recorded when nothing can be leased for a fault",
  },
  {
    guard: "no report waits for a Redis that hangs",
    file: "src/leasing/desk.ts",
    text: "else callOff = afterPatience(reservingMs, giveUp);",
    instead: "",
    test: "test/leasing/lease-next.test.ts",
    title: "that never answers no report waits",
  },
  {
    guard: "a report is in the turn of what is leased with it",
    file: "src/leasing/desk.ts",
    text: "groups === undefined || next === undefined || next.isOver || served.has(next)",
    instead: "next === undefined || next.isOver || !served.has(next)",
    test: "test/leasing/lease-next.test.ts",
    title: "ends the one and opens the other in one transaction",
  },
  {
    guard: "a report is not held up by what it asks for",
    file: "src/rpc/contact-worker-service.ts",
    text: `if (readOne("lease_next.wait", wait, 0) === 0) return;`,
    instead: "if (wait !== null) return;",
    test: "test/service/lease-next.test.ts",
    title: "is refused, and nothing is recorded",
  },
  {
    guard: "all who lock several leases lock their organization first",
    file: extendLeases,
    text: "perform from organizations o where o.id = organization for no key update;",
    instead: "",
    test: "test/postgres/deadlocks.test.ts",
    title: "released and taken over at once, in any order, wait for nobody in a ring",
  },
  {
    guard: "an outcome that was reported stays",
    file: "src/domain/attempt.ts",
    text: `if (attempt.isReported) return "already_recorded";`,
    instead: "",
    test: "test/leasing/outcomes.test.ts",
    title: "that comes again is answered with what was recorded first, whatever it says",
  },
  {
    guard: "a late report counts only for the contact's last attempt",
    file: "src/domain/attempt.ts",
    text: `return contact.attempts === attempt.attempt && !contact.isLeased ? "record" : "lease_expired";`,
    instead: `return contact.attempts > 0 ? "record" : "lease_expired";`,
    test: "test/leasing/late-reports.test.ts",
    title: "is refused once another attempt was opened, and counts again if that one is released",
  },
  {
    guard: "nobody is called again once the job has ended",
    file: endLeases,
    text: "case when going_on[g.job] then ending + g.delay_ms * interval '1 millisecond' end as next_at",
    instead: "ending + g.delay_ms * interval '1 millisecond' as next_at",
    test: "test/leasing/in-hand.test.ts",
    title: "counts what it cancels exactly, and lets the calls in progress end",
  },
  {
    guard: "a job ends with its last open contact, and not before",
    file: endLeases,
    text: "and found_job.pending_contacts + found_job.waiting_retry_contacts + found_job.dialing_contacts = 0",
    instead: "",
    test: "test/leasing/in-hand.test.ts",
    title: "does not come while a contact waits for a retry",
  },
];

const beginnings: Mutant[] = [
  {
    guard: "a command to Redis that was under way when its connection broke is not sent again",
    file: "src/redis/connection.ts",
    text: "autoResendUnfulfilledCommands: false",
    instead: "autoResendUnfulfilledCommands: true",
    test: "test/redis/failover.test.ts",
    title: "to one server",
  },
  {
    guard: "a command to a Redis Cluster that was under way is not sent again either",
    file: "src/redis/connection.ts",
    text: "retryDelayOnFailover: 0",
    instead: "retryDelayOnFailover: 100",
    test: "test/redis/failover.test.ts",
    title: "to a cluster",
  },
  {
    guard: "replicas of one database have one prefix",
    file: "src/postgres/installation.ts",
    text: "if (kept.redis_prefix === prefix) return kept.id;",
    instead: `if (kept.redis_prefix !== "") return kept.id;`,
    test: "test/misconfiguration.test.ts",
    title: "another REDIS_PREFIX than the one that the database's first replica had",
  },
  {
    guard: "a Redis that may lose keys by itself is refused",
    file: "src/redis/fitness.ts",
    text: `if (policy !== "noeviction") {`,
    instead: `if (policy === "") {`,
    test: "test/misconfiguration.test.ts",
    title: "Redis with maxmemory-policy",
  },
  {
    guard: "a Redis that answers and cannot be used is refused",
    file: "src/vitals/redis-watch.ts",
    text: "await probe.tryOut();",
    instead: "",
    test: unusableRedis,
    title: "the right to",
  },
  {
    guard: "a database number that Redis does not have is not taken for 0",
    file: "src/redis/connection.ts",
    text: "if (isWrongDatabase(error)) client.disconnect(true);",
    instead: "",
    test: unusableRedis,
    title: "that Redis does not have is refused, and nothing is written to database 0",
  },
  {
    guard: "two databases do not use one prefix in one Redis",
    file: "src/redis/probe.ts",
    text: `"NX", "GET"`,
    instead: `"GET"`,
    test: unusableRedis,
    title: "the second one does not start, and starts with another database number",
  },
];

const vitals: Mutant[] = [
  {
    guard: "no organization holds more than its share of the connections",
    file: "src/postgres/connections.ts",
    text: "const leave = await share.take(sharePatienceMs);",
    instead: "const leave = () => {};",
    test: "test/service/shares.test.ts",
    title: "holds up no neighbour",
  },
  {
    guard: "a commit that takes long makes the replica try one of its own",
    file: "src/postgres/sure-commits.ts",
    text: "afterPatience(slowCommitMs, onSlowCommit)",
    instead: "afterPatience(slowCommitMs, () => {})",
    test: "test/service/hung-commits.test.ts",
    title: "while commits hang, what writes is told so",
  },
  {
    guard: "the clock keeps what it knows better",
    file: "src/vitals/clock.ts",
    text: "isContradicted || found.errorMs <= knownErrorMs ? found : known",
    instead: "isContradicted || !isContradicted ? found : known",
    test: "test/vitals/clock.test.ts",
    title: "a clock that measures while every answer is 300 ms late stays right",
  },
];

const workers: Mutant[] = [
  {
    guard: "a call ends when its lease may have run out, as far as its worker knows",
    file: "src/worker/kept-leases.ts",
    text: "() => lease.lost.abort(),",
    instead: "() => {},",
    test: "test/worker/leases.test.ts",
    title: "is lost before another worker may call, when the way to the service is gone",
  },
  {
    guard: "a call is placed only if its lease is sure to last",
    file: "src/worker/run-worker.ts",
    text: "contacts = contacts.filter(({ leaseId }) => sure.extended.has(leaseId));",
    instead: "",
    test: "test/worker/leases.test.ts",
    title: "is not placed when the answer with its lease came after the lease's end",
  },
];

const hostile = "test/service/hostile.test.ts";
const limits = "test/rpc/limits.test.ts";

const bounds: Mutant[] = [
  {
    guard: "the elements of a request are counted before gRPC decodes it",
    file: "src/rpc/grpc/call.ts",
    text: `limits.check(bytes, "binary");`,
    instead: "",
    test: hostile,
    title: "17 kB that are eight million contacts",
  },
  {
    guard: "the elements of a request are counted before Connect decodes it",
    file: "src/rpc/http/request.ts",
    text: "    limits.check(message, form);\n    yield message;",
    instead: "    yield message;",
    test: hostile,
    title: "17 kB that are eight million contacts",
  },
  {
    guard: "nothing is hidden between what counts and what decodes",
    file: "src/rpc/requests/count-binary.ts",
    text: "if (wireType !== field.wireType) throw malformed();",
    instead: "",
    test: "test/rpc/checks.test.ts",
    title: "a number that says it has a length",
  },
  {
    guard: "what needs no key has small requests",
    file: "src/rpc/requests/limits.ts",
    text: "isOpen ? keylessBytes :",
    instead: "",
    test: limits,
    title: "takes four kilobytes and no more, on HTTP, whatever its length says",
  },
  {
    guard: "a request is small when it is decompressed too",
    file: "src/rpc/http/request.ts",
    text: "{ maxOutputLength: maxBytes }",
    instead: "{}",
    test: limits,
    title: "takes no more after decompression, on HTTP",
  },
  {
    guard: "large requests together fit the replica's memory",
    file: "src/rpc/requests/bytes-in-hand.ts",
    text: "if (more > 0 && bytes > smallBytes && isTooMuch) throw tooMuch();",
    instead: "",
    test: limits,
    title: "are bounded on HTTP: a large one is told to come again, a small one passes",
  },
  {
    guard: "a deadline that no timer can take is none",
    file: "src/rpc/grpc/streams.ts",
    text: `delete headers["grpc-timeout"];`,
    instead: "{}",
    test: "test/rpc/aborts.test.ts",
    title: "is answered by gRPC although no timer can take its timeout",
  },
];

const readers = "test/jobs/export/readers.test.ts";

const files: Mutant[] = [
  {
    guard: "no cell of an export is run by a spreadsheet",
    file: "src/files/cells.ts",
    text: 'text !== "" && guarded.test(text) ? `\'${text}` : text',
    instead: "text",
    test: "test/jobs/export/round-trip.test.ts",
    title: "whatever their names and values are",
  },
  {
    guard: "an export is as of one instant",
    file: "src/postgres/exports.ts",
    text: `.setIsolationLevel("repeatable read")`,
    instead: "",
    test: "test/jobs/export/contact-export.test.ts",
    title: "whatever happens to its job while it is read",
  },
  {
    guard: "a reader that does not read holds no snapshot and no place",
    file: "src/jobs/export/contact-export.ts",
    text: "if (isWithReader) free();",
    instead: "",
    test: readers,
    title: "that does not read holds no snapshot and no place for long, and is told so when it does",
  },
  {
    guard: "who leaves while it waits for a slot keeps none",
    file: "src/jobs/import/slots.ts",
    text: "waiting = waiting.filter((each) => each !== self);",
    instead: "",
    test: readers,
    title: "keep no place for one that left while it waited",
  },
  {
    guard: "a file that breaks off over HTTP does not look whole",
    file: "src/rpc/http/download.ts",
    text: "if (response.headersSent) response.destroy();",
    instead: "if (response.headersSent) response.end();",
    test: "test/service/export.test.ts",
    title: "a file that breaks off ends as an error, and not as if it were whole",
  },
];

const schemaRange = "test/postgres/schema-range.test.ts";

const upgrades: Mutant[] = [
  {
    guard: "a version does not run on a schema that has lost what it uses",
    file: "src/postgres/schema-range.ts",
    text: "if (needed === undefined || needed in changes) return true;",
    instead: "return true;",
    test: schemaRange,
    title: "does not run on one that has lost what it uses, and one that can do without runs",
  },
  {
    guard: "a migration waits for a lock only so long as others can wait behind it",
    file: "src/postgres/migrate.ts",
    text: "lockTimeoutMs: lockPatienceMs",
    instead: "",
    test: schemaRange,
    title: "gives way to whoever has a table in use, and comes to its end",
  },
  {
    guard: "a function is dropped only if no version that may run calls it",
    file: "src/postgres/functions/retire.ts",
    text: "${knownInMark} < ${needed}",
    instead: "${knownInMark} is not null",
    test: schemaRange,
    title: "stay if a version that still runs calls them too, in whatever order they start",
  },
];

export const mutants: readonly Mutant[] = [
  ...starts,
  ...requests,
  ...inHandTogether,
  ...claims,
  ...fanOut,
  ...locked,
  ...sweeps,
  ...leasing,
  ...workers,
  ...beginnings,
  ...shares,
  ...reads,
  ...upgrades,
  ...vitals,
  ...bounds,
  ...restRequests,
  ...files,
];
