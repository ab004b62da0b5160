import type { Caller } from "../domain/caller.ts";
import { type Rejection, phonesOf, plainPhone, shownPhone } from "../domain/contacts/contact.ts";
import type { Tell } from "../domain/event.ts";
import { readPageToken, writePageToken } from "../domain/page-token.ts";
import {
  type SuppressedPhone,
  type SuppressedPhoneInput,
  erasedPhone,
  judgeSuppressed,
} from "../domain/contacts/suppressed-phone.ts";
import { type CommandRequest, byOf, createCommandRunner } from "../jobs/commands/command.ts";
import { summaryOf } from "../jobs/commands/new-job.ts";
import { readPhone } from "../jobs/contacts/phone-argument.ts";
import { pageSizeOf } from "../domain/page-size.ts";
import type { Trx } from "../postgres/jobs/batch-jobs.ts";
import type { Shares } from "../postgres/connections/connections.ts";
import {
  type ErasedPhones,
  type ErasureKey,
  findErased,
  joinAdders,
  readErased,
  readErasedAt,
} from "../postgres/phones/erased-phones.ts";
import {
  addSuppressed,
  findSuppressed,
  listSuppressed,
  removeSuppressed,
} from "../postgres/phones/suppressed-phones.ts";

/** At most so many entries are looked at for one page, however few have the reason that is asked for. */
const mostLookedAt = 10_000;

const redisHalf = () => ({});

const isPhoneCursor = (keys: readonly unknown[]): keys is [number] =>
  Number.isInteger(keys[0]) && Number(keys[0]) >= 0 && Number(keys[0]) < 1e15;

/** Each of the phones once, as it is stored; refuses all of them if one is no phone. */
const readPhones = (phones: readonly string[]): string[] => [
  ...new Set(phones.map((phone, i) => readPhone(phone, `phones[${i}]`))),
];

/**
 * Adds phones, and tells how many; answers how many were not on the list before. Those that were erased are kept out as
 * they are: they are on none.
 */
export async function addTold(
  trx: Trx,
  request: Pick<CommandRequest, "caller" | "requestId">,
  phones: readonly SuppressedPhoneInput[],
  erased: ErasedPhones | undefined,
  tell: Tell,
): Promise<number> {
  const { organizationId } = request.caller;
  const hidden = await findErased(trx, erased, phonesOf(phones));
  const others = hidden.size === 0 ? phones : phones.filter(({ phone }) => !hidden.has(phone));
  const added = await addSuppressed(trx, organizationId, others);
  const data = { givenPhones: phones.length, addedPhones: added };
  tell({ type: "suppressed_phones.added", ...byOf(request), data });
  return added;
}

/** What was rejected, without the phones that were erased: answers are kept. */
export async function withoutErased<R extends { readonly phone: string }>(
  trx: Trx,
  erased: ErasedPhones | undefined,
  rejected: readonly R[],
): Promise<R[]> {
  const hidden = await findErased(trx, erased, phonesOf(rejected));
  return rejected.map((row) => (hidden.has(row.phone) ? { ...row, phone: "" } : row));
}

/** The phones that an organization has nobody call. */
export function createSuppression(deps: {
  shares: Shares;
  reads: Shares;
  now: () => number;
  erasureKey?: ErasureKey | undefined;
}) {
  const { shares, reads, now, erasureKey } = deps;
  // Nothing of it is in Redis.
  const run = createCommandRunner({ shares, doRedisHalves: () => [] });

  return {
    /** Once it has answered nobody is leased any more whose phone is among these. */
    async add(request: CommandRequest, inputs: readonly SuppressedPhoneInput[]) {
      const nowMs = now();
      const accepted: SuppressedPhoneInput[] = [];
      const rejected: Rejection[] = [];
      for (const [index, input] of inputs.entries()) {
        const entry = judgeSuppressed(input, nowMs);
        if ("rule" in entry) rejected.push({ index, phone: shownPhone(plainPhone(input.phone)), ...entry });
        else accepted.push(entry);
      }
      return await run(request, {
        rpc: "AddSuppressedPhones",
        redisHalf,
        async decide(trx, tell) {
          const erased = await joinAdders(trx, request.caller.organizationId, erasureKey);
          const addedCount = accepted.length === 0 ? 0 : await addTold(trx, request, accepted, erased, tell);
          const shown = await withoutErased(trx, erased, rejected);
          return { addedCount, alreadyCount: accepted.length - addedCount, ...summaryOf(shown) };
        },
      });
    },

    /** Those that were erased stay so, and are not called; they are counted by themselves. */
    async remove(request: CommandRequest, phones: readonly string[]) {
      const { organizationId } = request.caller;
      const asked = readPhones(phones);
      return await run(request, {
        rpc: "RemoveSuppressedPhones",
        redisHalf,
        async decide(trx, tell) {
          const removedCount = await removeSuppressed(trx, organizationId, asked);
          const erased = await findErased(trx, await readErased(trx, organizationId, erasureKey), asked);
          const data = { givenPhones: asked.length, removedPhones: removedCount };
          tell({ type: "suppressed_phones.removed", ...byOf(request), data });
          return { removedCount, erasedCount: erased.size };
        },
      });
    },

    /** Those of the phones that nobody calls, in the order given. */
    async check({ organizationId }: Caller, phones: readonly string[]): Promise<SuppressedPhone[]> {
      const db = reads.of(organizationId);
      const asked = readPhones(phones);
      // Whoever is erased is known as that before they are off the list: looked up in this order nobody is missed.
      const listed = await findSuppressed(db, organizationId, asked);
      const erased = await readErasedAt(db, await readErased(db, organizationId, erasureKey), asked);
      const entries = new Map(listed.map((entry) => [entry.phone, entry]));
      for (const [phone, erasedAt] of erased) entries.set(phone, erasedPhone(phone, erasedAt));
      return asked.flatMap((phone) => entries.get(phone) ?? []);
    },

    /** One page of the list, in the order of phones; with a reason a short one where many have another. */
    async list(
      { organizationId }: Caller,
      reason: string,
      page: { size: number; token: string },
    ): Promise<{ phones: SuppressedPhone[]; nextPageToken: string }> {
      const scope = ["suppressed_phones", organizationId, reason];
      const [after] = readPageToken(page.token, scope, isPhoneCursor) ?? [0];
      const size = pageSizeOf(page.size);
      const found = await listSuppressed(reads.of(organizationId), organizationId, reason, {
        after,
        size,
        mostLookedAt: reason === "" ? size + 1 : mostLookedAt,
      });
      return {
        phones: found.phones,
        nextPageToken: found.goesOnAfter === undefined ? "" : writePageToken(scope, [found.goesOnAfter]),
      };
    },
  };
}

export type Suppression = ReturnType<typeof createSuppression>;
