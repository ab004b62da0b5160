import type { Logger } from "pino";
import { PhonesAreMissing, fileIsAdded, noteAdded, whenNothingKeepsOut } from "./contacts/adding.ts";
import { type JobCommandRequest, checkNow, lockForCommand } from "./commands/checks.ts";
import { type CommandRequest, createCommandRunner } from "./commands/command.ts";
import { type JobCommand, jobCommands } from "./commands/job-commands.ts";
import { createCopying } from "./contacts/copying.ts";
import { toldAnswer } from "./commands/kept-answers.ts";
import {
  type NewJob,
  createRpc,
  decideJob,
  entryOfNewJob,
  summaryOf,
  tellOfNew,
  toldOf,
} from "./commands/new-job.ts";
import {
  type Attempt,
  type BatchJob,
  type Contact,
  type JobFilter,
  type Reads,
  type TimeRange,
  createQueries,
} from "./queries.ts";
import { createErasing } from "./contacts/erasing.ts";
import { createFinding } from "./contacts/finding.ts";
import { halfOfUpdate, updateJob } from "./commands/updating.ts";
import { createOffsetPages } from "./offset-pages.ts";
import { createScheduleStates } from "./schedule-state.ts";
import { type Move, type Moved, createRescheduling } from "./commands/rescheduling.ts";
import { createRedisHalves, goOn, toGoOn } from "./commands/redis-halves.ts";
import { createJudging } from "./contacts/judging.ts";
import { createTogether } from "./commands/together.ts";
import {
  type ContactInput,
  type JudgedContact,
  duplicatePhone,
  isPhone,
  sortOut,
} from "../domain/contacts/contact.ts";
import type { JobSettings } from "../domain/jobs/batch-job.ts";
import { countSets, createZoneSets } from "../domain/time/zone-sets.ts";
import type { FanOut } from "../starting/fan-out.ts";
import type { Openings } from "../starting/openings.ts";
import { holdOffFiles } from "../postgres/contacts/adding.ts";
import { type Trx, databaseNow, findJob, insertJobs } from "../postgres/jobs/batch-jobs.ts";
import type { SharesToWaitIn } from "../postgres/connections/connections.ts";
import { insertContacts } from "../postgres/contacts/inserting.ts";
import { type ErasureKey, findErased, joinAdders } from "../postgres/phones/erased-phones.ts";
import { checkStoredContacts } from "../postgres/contacts/stored-contacts.ts";
import { countInSets, readZoneSets } from "../postgres/contacts/zone-sets.ts";
import type { ContactList } from "../redis/contact-list.ts";
import type { Schedule } from "../redis/schedule.ts";

export type { Attempt, BatchJob, CommandRequest, Contact, JobCommandRequest, JobFilter, NewJob, TimeRange };
export type { Move, Moved };

export type BatchJobs = ReturnType<typeof createBatchJobs>;

/** The commands on batch jobs, and the queries: what the API does, without its wire format. */
export function createBatchJobs(deps: {
  /** Of the connections that copies of contacts have to themselves. */
  databaseUrl: string;
  shares: SharesToWaitIn;
  reads: Reads;
  schedule: Schedule;
  contactList: ContactList;
  fanOut: FanOut;
  openings: Pick<Openings, "wake">;
  /** Told that a job is to end at a time. */
  onEndSet?: () => void;
  logger: Logger;
  /** People are erased with it; nobody is without one. */
  erasureKey?: ErasureKey | undefined;
}) {
  const { shares, erasureKey, onEndSet = () => {} } = deps;
  const running = { shares, doRedisHalves: createRedisHalves(deps) };
  const runApart = createCommandRunner(running);
  const runTogether = createTogether(running);
  const judgeContacts = createJudging();
  const createCopy = createCopying({ directUrl: deps.databaseUrl, erasureKey, ...running });

  /** A command on one job, beside those that are in hand. */
  const onJob =
    <A extends object, G>({ rpc, type, decide, redisHalf }: JobCommand<A, G>) =>
    async (request: JobCommandRequest, given: G) =>
      await runTogether(request, {
        rpc,
        type,
        batchJobId: request.batchJobId,
        decide: (view) => decide(view, request, given),
        redisHalf,
      });

  /** Those of the contacts' phones that were erased; nobody erases more of them before the transaction has ended. */
  async function erasedAmong(trx: Trx, { caller }: CommandRequest, contacts: readonly JudgedContact[]) {
    const erased = await joinAdders(trx, caller.organizationId, erasureKey);
    return erased && (await findErased(trx, erased, contacts.map(({ phone }) => phone).filter(isPhone)));
  }

  async function createJob(request: CommandRequest, job: NewJob<JudgedContact>) {
    if (job.copyContacts !== undefined) return await createCopy(request, job, job.copyContacts);
    if (job.contacts.length === 0) {
      return await runTogether(request, {
        rpc: createRpc,
        type: "batch_job.created",
        redisHalf: entryOfNewJob,
        decide({ now }) {
          const { answer, created } = decideJob(request, job, now);
          return { answer, created, ...toldOf(answer, created) };
        },
      });
    }
    return await runApart(request, {
      rpc: createRpc,
      redisHalf: entryOfNewJob,
      async decide(trx, tell) {
        const erased = await erasedAmong(trx, request, job.contacts);
        const { answer, created, accepted } = decideJob(request, job, await databaseNow(trx), erased);
        const { organizationId, id: batchJobId } = created;
        const sets = createZoneSets([], created);
        const zoneSets = accepted.map(sets.of);
        await insertContacts(trx, organizationId, batchJobId, 0, { contacts: accepted, zoneSets });
        // The job comes after its contacts: from here on others who add some wait for the organization's count.
        await insertJobs(trx, [created]);
        await countInSets(trx, created, countSets(sets.all(), zoneSets));
        await checkStoredContacts(trx, organizationId, accepted.length);
        tellOfNew(tell, request, { answer, created });
        return answer;
      },
    });
  }

  const reschedule = onJob(jobCommands.reschedule);
  const pause = onJob(jobCommands.pause);

  return {
    ...createQueries(deps.reads),
    ...createFinding(deps.reads),
    ...createErasing({ shares, erasureKey }),
    ...createOffsetPages(deps.reads),
    ...createScheduleStates({ ...deps.reads, schedule: deps.schedule }),
    ...createRescheduling({ shares, reads: deps.reads, runTogether }),

    /** Phones that are not E.164 are read as those of the default region, if there is one. */
    async create(request: CommandRequest, job: NewJob, defaultRegion = "") {
      const contacts = await judgeContacts(request.caller.organizationId, job.contacts, defaultRegion);
      const created = await createJob(request, { ...job, contacts });
      request.trace?.about(created.batchJobId);
      if (job.endAt !== null) onEndSet();
      return toldAnswer(created);
    },

    async addContacts(request: JobCommandRequest, given: readonly ContactInput[], defaultRegion = "") {
      const contacts = await judgeContacts(request.caller.organizationId, given, defaultRegion);
      return await whenNothingKeepsOut(shares.of(request.caller.organizationId), () =>
        runApart(request, {
          rpc: "AddContacts",
          jobId: request.batchJobId,
          async decide(trx, tell) {
            const { accepted, rejected } = sortOut(contacts, await erasedAmong(trx, request, contacts));
            const job = await lockForCommand(trx, request);
            await checkNow(trx, "add_contacts", job);
            if (!(await holdOffFiles(trx, job.id))) throw fileIsAdded;
            if (!job.hasAllPhones) throw new PhonesAreMissing(job);
            const sets = createZoneSets(job.zoneSets > 1 ? await readZoneSets(trx, job) : [], job);
            const zoneSets = accepted.map(sets.of);
            const added = { contacts: accepted, zoneSets };
            const duplicates = new Set(
              await insertContacts(trx, job.organizationId, job.id, job.totalContacts, added),
            );
            for (const [place, { index, phone }] of accepted.entries()) {
              if (duplicates.has(place)) rejected.push({ index, phone, ...duplicatePhone });
            }
            rejected.sort((a, b) => a.index - b.index);
            const acceptedCount = accepted.length - duplicates.size;
            const numbers = zoneSets.filter((_, place) => !duplicates.has(place));
            const counts = {
              count: acceptedCount,
              withPhones: true,
              zoneSets: countSets(sets.all(), numbers),
            };
            const after = await noteAdded(trx, request, job, counts, tell);
            return {
              acceptedCount,
              totalContacts: after.totalContacts,
              ...toGoOn(job, after),
              ...summaryOf(rejected),
            };
          },
          redisHalf: goOn,
        }),
      );
    },

    /** Changes settings; answers the job as it is afterwards, and after a repetition as it is then. */
    async update(request: JobCommandRequest, changes: Partial<JobSettings>) {
      const { organizationId } = request.caller;
      const db = shares.of(organizationId);
      const { batchJobId, entryRemoved } = await runApart(request, {
        rpc: "UpdateBatchJob",
        jobId: request.batchJobId,
        decide: (trx, tell) => updateJob(trx, request, changes, tell),
        redisHalf: (updated) => halfOfUpdate(updated, organizationId),
      });
      if ((changes.endAt ?? null) !== null) onEndSet();
      return { job: await findJob(db, organizationId, batchJobId), entryRemoved };
    },

    async reschedule(request: JobCommandRequest, start: { requestedStartTime: string; timeZone: string }) {
      return toldAnswer(await reschedule(request, start));
    },

    start: onJob(jobCommands.start),
    pause: (request: JobCommandRequest) => pause(request, { resumeAt: null }),
    /** The same, and the job goes on by itself then. */
    pauseUntil: (request: JobCommandRequest, resumeAt: Date) => pause(request, { resumeAt }),
    resume: onJob(jobCommands.resume),
    cancel: onJob(jobCommands.cancel),
    delete: onJob(jobCommands.delete),
  };
}
