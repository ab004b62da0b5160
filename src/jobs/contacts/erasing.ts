import { createHmac } from "node:crypto";
import { BatchJobError, answerGone, wrongField } from "../../domain/batch-job-error.ts";
import { holdOffAll } from "../../postgres/contacts/adding.ts";
import type { Shares } from "../../postgres/connections/connections.ts";
import type { Database } from "../../postgres/connections/database.ts";
import {
  type ErasedPhones,
  type ErasureKey,
  awaitAdders,
  countErased,
  insertErased,
} from "../../postgres/phones/erased-phones.ts";
import {
  deletedJobs,
  eraseContact,
  eraseFromAnswers,
  eraseFromSamples,
  lockIfThere,
  removePhone,
  removeRejectedRows,
} from "../../postgres/phones/erasing.ts";
import { telling } from "../../postgres/events/events.ts";
import { findPlaces, scanForPhone } from "../../postgres/phones/find-contacts.ts";
import type { JobCursor } from "../../postgres/jobs/job-search.ts";
import { checkUnused } from "../../postgres/jobs/requests.ts";
import { removeSuppressed } from "../../postgres/phones/suppressed-phones.ts";
import { type CommandRequest, byOf, createCommandRunner, keyOfRequest } from "../commands/command.ts";
import { readPhone } from "./phone-argument.ts";

const rpc = "EraseContacts";

/** So many jobs that have the phone are looked for at a time. */
const jobsAtOnce = 100;

const noKey = () =>
  new BatchJobError(
    "no_erasure_key",
    "Phones are erased with a key that is not in the database: set ERASURE_KEY, the same on all replicas.",
  );

function checkReason(reason: string, phone: string): void {
  if (!reason.replaceAll(/\D/g, "").includes(phone.slice(1))) return;
  throw wrongField("reason", "it is kept, and must not hold the phone");
}

/** Erases the contact of a job, and answers what was said of it; of one that is being removed nothing is told. */
async function eraseOne(
  db: Database,
  request: CommandRequest,
  erased: ErasedPhones,
  contact: { jobId: string; number: number; phone: string },
): Promise<string[]> {
  const { organizationId } = erased;
  const { jobId, number, phone } = contact;
  return await db.transaction().execute((trx) =>
    telling(trx, organizationId, async (tell) => {
      await holdOffAll(trx, jobId);
      const isThere = await lockIfThere(trx, organizationId, jobId);
      const words = await eraseContact(trx, { organizationId, ...contact });
      if (words === undefined) return [];
      await countErased(trx, erased, phone, 1);
      if (isThere) tell({ type: "contact.erased", ...byOf(request), batchJobId: jobId, number });
      return words;
    }),
  );
}

/** All that is to be done for a phone, of which a repetition does what is left. */
async function eraseAll(
  db: Database,
  request: CommandRequest,
  erased: ErasedPhones,
  phone: string,
): Promise<void> {
  const { organizationId } = erased;
  const was = await db.transaction().execute((trx) => insertErased(trx, erased, phone));
  await awaitAdders(db, organizationId);
  await db.transaction().execute((trx) => removeSuppressed(trx, organizationId, [phone]));
  const words = new Set<string>();
  const erase = async (jobId: string, number: number) => {
    for (const word of await eraseOne(db, request, erased, { jobId, number, phone })) words.add(word);
  };
  let after: JobCursor | undefined;
  do {
    const page = await findPlaces(db, organizationId, phone, { after, size: jobsAtOnce });
    for (const { job, number } of page.found) await erase(job.id, number);
    after = page.goesOnAfter;
  } while (after !== undefined);
  // After all others: a job that was deleted meanwhile is among them.
  for (const jobId of await deletedJobs(db, organizationId)) {
    const number = await scanForPhone(db, organizationId, jobId, phone, 0);
    if (number !== undefined) await erase(jobId, number);
    await db.transaction().execute((trx) => removePhone(trx, { organizationId, jobId, phone }));
  }
  await eraseFromAnswers(db, organizationId, phone);
  await removeRejectedRows(db, organizationId);
  // What a call that was broken off has erased nobody knows any more.
  await eraseFromSamples(db, was === "known" ? "not known" : [phone.slice(1), ...words]);
}

/**
 * Erases people by their phone, step by step: each step is committed by itself, and what is done already is nothing to
 * do. So a repetition goes on with what is left, whatever has ended the call before, and is answered as if it were the
 * first.
 */
export function createErasing(deps: { shares: Shares; erasureKey: ErasureKey | undefined }) {
  const { shares, erasureKey: key } = deps;
  // Nothing of it is in Redis.
  const run = createCommandRunner({ shares, doRedisHalves: () => [] });

  return {
    /**
     * Takes whoever has this phone out of all that the organization has of its contacts, and keeps them out. Answers
     * how many contacts were erased with this phone, by whichever call.
     */
    async erase(given: CommandRequest, written: string, reason: string): Promise<{ erasedContacts: number }> {
      if (key === undefined) throw noKey();
      const { organizationId } = given.caller;
      const phone = readPhone(written, "phone");
      checkReason(reason, phone);
      // Of a bare hash anybody could find out the phone that was asked for.
      const fingerprint = () => createHmac("sha256", key.bytes).update(given.fingerprint()).digest();
      const request = { ...given, fingerprint };
      const db = shares.of(organizationId);
      const erased = { organizationId, key };
      const requestKey = keyOfRequest(request, rpc);
      const isRepeat = requestKey !== undefined && (await checkUnused(db, requestKey)) === "kept";
      if (!isRepeat) await eraseAll(db, request, erased, phone);
      return await run(request, {
        rpc,
        redisHalf: () => ({}),
        async decide(trx, tell) {
          if (isRepeat) throw answerGone();
          const erasedContacts = await countErased(trx, erased, phone, 0);
          tell({ type: "phone.erased", ...byOf(request), data: { erasedContacts, reason } });
          return { erasedContacts };
        },
      });
    },
  };
}

export type Erasing = ReturnType<typeof createErasing>;
