import type { Clock } from "../vitals/clock.ts";
import type { FanOut } from "./fan-out.ts";
import type { Openings } from "./openings.ts";
import { beforeAllJobs } from "../domain/jobs/job-id.ts";
import type { Database } from "../postgres/connections/database.ts";
import { type JobNow, type RunningJob, jobsNow, lacksContacts, runningJobs } from "../postgres/jobs/sweep.ts";
import type { ContactList } from "../redis/contact-list.ts";
import { type Position, isAhead, revisionOf } from "../redis/position.ts";
import type { JobInSets, JobKey } from "../redis/keys.ts";
import { createSuspicions, settledMs } from "./suspicions.ts";

const chunkSize = 1_000;

type Finding = { job: RunningJob; position: Position | undefined; rule: string };

/** The rules of the sweep for the keys of jobs: the lists of those that run, and what others have left. */
export function createListSweep(deps: {
  db: Database;
  contactList: ContactList;
  fanOut: FanOut;
  openings: Pick<Openings, "wake">;
  clock: Clock;
  /** Told how much a rule has put right. */
  note: (rule: string, count: number) => void;
  /** Told of a job of which Redis knows more than Postgres. */
  noteAhead: () => void;
}) {
  const { db, contactList, fanOut, openings, clock, note, noteAhead } = deps;
  /** The unfinished, the drained and the lost fan-outs of the last pass, and where they stood. */
  const suspicions = createSuspicions();
  /** Jobs that had keys in the last pass and did not run: no more than one slice has. */
  let left: readonly JobInSets[] = [];
  let cursors: ReadonlyMap<string, string> = new Map();

  /** What is wrong with a running job's list, if it was so at the last pass too where that is the sign of it. */
  async function examine(job: RunningJob): Promise<Finding | undefined> {
    if (fanOut.isRunning(job.id)) return undefined;
    const { position, lengths, returned } = await contactList.look(job, clock.now());
    note("reservation_lost", returned);
    if (position !== undefined && isAhead(position, job)) return { job, position, rule: "position_ahead" };
    const isBehind = position !== undefined && position.last < job.totalContacts;
    if (position !== undefined && !isBehind && !lacksContacts(job, lengths)) return undefined;
    const rule = position === undefined ? "position_lost" : isBehind ? "fan_out_stopped" : "list_drained";
    const ageMs = suspicions.ageMs(`${job.id} ${rule} ${position?.epoch} ${position?.last}`);
    // What was last changed a while ago is no command's any more. Of what was not, or has a time that lies ahead, only
    // waiting tells.
    const isSettled = job.isSettled || (ageMs ?? 0) >= settledMs;
    return isSettled && (position === undefined || ageMs !== undefined) ? { job, position, rule } : undefined;
  }

  async function repair({ job, position, rule }: Finding, now: JobNow): Promise<void> {
    if (position === undefined) await contactList.create(job, job.revision);
    else if (rule === "list_drained") {
      // Others of its lists may stay full for long, while they are closed. A number that is listed twice is harmless.
      const startAgain = job.zoneSets > 1 ? contactList.startOver : contactList.restart;
      await startAgain(job, position, job.revision);
    } else if (rule === "position_ahead") {
      // It may have moved on between the two looks.
      if (!isAhead(position, now)) return;
      await contactList.startOver(job, position, now.revision);
      noteAhead();
    }
    note(rule, 1);
    void fanOut.run(job);
  }

  /**
   * Wakes jobs with hours whose replica died when they had come to run; of some the replica is about to. Those whose
   * organization has other hours now come here too, where these were set at the command line.
   */
  async function wakeAll(jobs: readonly RunningJob[]): Promise<void> {
    const waking = jobs.filter(({ isAsleep, isUnderOldHours }) => isAsleep || isUnderOldHours);
    await openings.wake(waking.map((key) => ({ key, zoneSets: 1 })));
    note("hours_asleep", waking.filter(({ isAsleep, isSettled }) => isAsleep && isSettled).length);
  }

  return {
    /**
     * Looks at every running job. One that cannot be looked at holds up no other; of its organization, whose keys are
     * all in one place, nothing more is tried in this pass.
     */
    async examineRunning(): Promise<void> {
      suspicions.begin();
      const failures = new Map<number, unknown>();
      const guarded = async <T>(job: JobKey, work: () => Promise<T>): Promise<T | undefined> => {
        try {
          return await work();
        } catch (error) {
          failures.set(job.organizationId, error);
          return undefined;
        }
      };
      let after = { organizationId: 0, id: beforeAllJobs };
      for (let full = true; full;) {
        const jobs = await runningJobs(db, after, chunkSize);
        await wakeAll(jobs);
        const reachable = jobs.filter(({ organizationId }) => !failures.has(organizationId));
        const looks = await Promise.all(reachable.map((job) => guarded(job, () => examine(job))));
        const findings = looks.filter((finding) => finding !== undefined);
        const states = await jobsNow(
          db,
          findings.map(({ job }) => job),
        );
        for (const finding of findings) {
          const now = states.get(finding.job.id);
          if (now?.status !== "running" || failures.has(finding.job.organizationId)) continue;
          await guarded(finding.job, () => repair(finding, now));
        }
        after = jobs.at(-1) ?? after;
        full = jobs.length === chunkSize;
      }
      for (const error of failures.values()) throw error;
    },

    /**
     * Removes the keys of jobs that did not run in the last pass either, and looks at a slice of all keys for others:
     * those are about to be removed by whoever ended the run.
     */
    async removeLeft(): Promise<void> {
      const found = await contactList.scan(cursors, chunkSize);
      cursors = found.cursors;
      const before = new Set(left.map(({ id }) => id));
      const jobs = [...left, ...found.jobs.filter(({ id }) => !before.has(id))];
      const failures = [...found.failures];
      const positions = new Map<string, Position | undefined>();
      const tried = async (work: Promise<unknown>): Promise<unknown> =>
        await work.catch((error: unknown) => failures.push(error));
      const leftBefore = jobs.filter(({ id }) => before.has(id));
      const read = async (job: JobKey) => void positions.set(job.id, await contactList.position(job));
      await Promise.all(leftBefore.map((job) => tried(read(job))));
      const states = await jobsNow(db, jobs);
      const idle = jobs.filter(({ id }) => states.get(id)?.status !== "running");
      left = idle.filter(({ id }) => !before.has(id));
      const remove = async (job: JobInSets): Promise<void> => {
        const position = positions.get(job.id);
        const state = states.get(job.id);
        const revision = position === undefined ? state?.revision : revisionOf(position);
        const zoneSets = Math.max(job.zoneSets ?? 0, state?.zoneSets ?? 0);
        if (!(await contactList.unlink({ ...job, zoneSets }, revision ?? 0))) return;
        note("keys_left", 1);
        if (position !== undefined && state !== undefined && isAhead(position, state)) noteAhead();
      };
      await Promise.all(idle.filter(({ id }) => positions.has(id)).map((job) => tried(remove(job))));
      for (const error of failures) throw error;
    },
  };
}
