import { BatchJobError, wrongField } from "../../domain/batch-job-error.ts";
import { type JobStatus, shownStatus } from "../../domain/jobs/batch-job.ts";
import {
  type ContactStatus,
  type JudgedContact,
  storedContactStatuses,
} from "../../domain/contacts/contact.ts";
import { databaseNow, findJob, insertJobs } from "../../postgres/jobs/batch-jobs.ts";
import { type CopiedStatuses, copyContacts, openCopy } from "../../postgres/contacts/copies.ts";
import { type ErasureKey, joinAdders } from "../../postgres/phones/erased-phones.ts";
import { countInSets, readZoneSets } from "../../postgres/contacts/zone-sets.ts";
import { checkStoredContacts } from "../../postgres/contacts/stored-contacts.ts";
import { type CommandRequest, createCommandRunner } from "../commands/command.ts";
import { createSlots } from "../import/slots.ts";
import {
  type CopiedContacts,
  type NewJob,
  createRpc,
  decideJob,
  entryOfNewJob,
  tellOfNew,
} from "../commands/new-job.ts";
import type { DoRedisHalves } from "../commands/redis-halves.ts";

/** Each has a connection to Postgres; further ones wait. */
const copies = { atOnce: 3, perOrganization: 1 };

function statusesOf(asked: readonly ContactStatus[]): CopiedStatuses | undefined {
  if (asked.length === 0) return undefined;
  const stored = (job: JobStatus) =>
    storedContactStatuses.filter((one) => asked.includes(shownStatus(one, job)));
  return {
    pending: stored("pending"),
    scheduled: stored("scheduled"),
    running: stored("running"),
    paused: stored("paused"),
    completed: stored("completed"),
    failed: stored("failed"),
    cancelled: stored("cancelled"),
  };
}

const nobodyToCopy = ({ batchJobId, statuses }: CopiedContacts) =>
  new BatchJobError(
    "no_contacts",
    statuses.length === 0
      ? "The batch job to copy contacts from has none; name one that has some."
      : `The batch job to copy contacts from has none that are ${new Intl.ListFormat("en", { type: "disjunction" }).format(statuses)}; name other statuses, or none for all of its contacts.`,
    { batchJobId, statuses: statuses.join(",") },
  );

const zonesOfTheOther = (batchJobId: string) =>
  wrongField(
    "zones_from_phone",
    "copied contacts stay in the time zones in which the other batch job calls them; leave it out, or give the contacts themselves",
    { batchJobId },
  );

/**
 * Creates jobs with the contacts of other jobs, however many: in Postgres, on connections of their own, so that no
 * other call waits for one. Nothing of the other job is locked. Their phones are entered when somebody adds to the job,
 * as those of a file are.
 */
export function createCopying(deps: {
  directUrl: string;
  doRedisHalves: DoRedisHalves;
  erasureKey?: ErasureKey | undefined;
}) {
  const inTurn = createSlots(copies);

  return async function createCopy(
    request: CommandRequest,
    job: NewJob<JudgedContact>,
    copied: CopiedContacts,
  ) {
    const { organizationId } = request.caller;
    return await inTurn(organizationId, async () => {
      const db = openCopy(deps.directUrl);
      try {
        const run = createCommandRunner({ ...deps, shares: { of: () => db } });
        return await run(request, {
          rpc: createRpc,
          redisHalf: entryOfNewJob,
          async decide(trx, tell) {
            const { answer, created } = decideJob(request, job, await databaseNow(trx));
            const erased = await joinAdders(trx, organizationId, deps.erasureKey);
            const source = await findJob(trx, organizationId, copied.batchJobId);
            const { zonesFromPhone } = source;
            if (created.zonesFromPhone && !zonesFromPhone) throw zonesOfTheOther(source.id);
            const { copied: totalContacts, inSets } = await copyContacts(
              trx,
              source,
              created.id,
              statusesOf(copied.statuses),
              erased,
            );
            if (totalContacts === 0) throw nobodyToCopy(copied);
            const copy = { totalContacts, zonesFromPhone, hasAllPhones: false, copiedFrom: source.id };
            // The job comes after its contacts: from here on others who add some wait for the organization's count.
            await insertJobs(trx, [{ ...created, ...copy }]);
            const sets = inSets.size > 0 ? await readZoneSets(trx, source) : [];
            await countInSets(
              trx,
              created,
              sets.map((set) => ({ ...set, contacts: inSets.get(set.zoneSet) ?? 0 })),
            );
            await checkStoredContacts(trx, organizationId, totalContacts);
            const answered = { ...answer, totalContacts };
            const from = { copiedFrom: source.id, copiedStatuses: copied.statuses };
            tellOfNew(tell, request, { answer: answered, created }, from);
            return answered;
          },
        });
      } finally {
        await db.destroy();
      }
    });
  };
}
