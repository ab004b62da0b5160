import { type RawBuilder, sql } from "kysely";
import { largestAnswerBytes } from "../../domain/answer-size.ts";
import type { ContactInput } from "../../domain/contacts/contact.ts";
import type { LeaseKey } from "../../domain/contacts/lease-id.ts";
import { lineOf, readContact } from "../contacts/contact-blocks.ts";
import type { Database } from "../connections/database.ts";
import { type Places, createStatement } from "../connections/statement.ts";
import { functions } from "../functions/functions.ts";
import { asRows, nameOf, plainArray } from "./lease-rows.ts";

export type StoredLease = LeaseKey &
  ContactInput & {
    expiresAt: Date;
    /** When the hours end in which it was given; null if there are none. */
    callBefore: Date | null;
  };

/**
 * What one job may give of a set of time zones: so many retries that are due, and these numbers from its list, none of
 * them twice.
 */
export type Offer = JobSet & { readonly due: number; readonly numbers: readonly number[] };

/** A set of time zones of a job that has so many; or has none, and all its contacts are in set 0. */
type JobSet = { readonly jobId: string; readonly zoneSet: number; readonly zoneSets: number };

/** Who gets leases, how many at most, and for how long. */
export type LeaseTaker = {
  workerId: string;
  requestId: string;
  /** Drawn for the call, if it has a request id; 0 for one without. */
  ticket: number;
  most: number;
  durationMs: number;
};

export type Opened = {
  /** The leases of each taker, in its place. */
  leases: StoredLease[][];
  /**
   * The numbers of each offer that are open and had no room, or did not fit. Those that are neither here nor leased
   * were not open.
   */
  left: number[][];
  /** The places of the takers whose request id has live leases, of other calls. They get no others. */
  repeated: number[];
  /** The contacts that ended because their phone is suppressed. */
  suppressed: Suppressed[];
};

/** Of the offer at this place so many contacts ended as suppressed. */
export type Suppressed = JobSet & {
  readonly offer: number;
  readonly count: number;
  /** The revision that the job has ended with, if it has. */
  readonly finalRevision: number | undefined;
};

/** What is opened together: these contacts, for these takers. */
export type Opening = { offers: readonly Offer[]; takers: readonly LeaseTaker[] };

/** A row of what open_leases answers. */
export type OpenedRow = {
  turn: number;
  number: number | null;
  nonce: number | null;
  attempt: number;
  caller: number | null;
  leasedMs: number;
  callBeforeMs: number | null;
  contact: string;
};

const dateOrNull = (ms: number | null): Date | null => (ms === null ? null : new Date(ms));

/** What open_leases is told of an opening, as Postgres reads it. */
export const openingValues = ({ offers, takers }: Opening) => ({
  jobIds: plainArray(offers.map((o) => o.jobId)),
  zoneSets: plainArray(offers.map((o) => o.zoneSet)),
  due: plainArray(offers.map((o) => o.due)),
  listed: plainArray(offers.map((o) => o.numbers.length)),
  numbers: plainArray(offers.flatMap((o) => o.numbers)),
  callers: plainArray(takers.flatMap((c, i) => Array.from({ length: c.most }, () => i + 1))),
  workerIds: takers.map((c) => c.workerId),
  requestIds: takers.map((c) => c.requestId),
  tickets: plainArray(takers.map((c) => c.ticket)),
  durationsMs: plainArray(takers.map((c) => c.durationMs)),
});

export type OpeningValues = ReturnType<typeof openingValues>;

/** The call of the function that opens leases, each answer of which has at most so many bytes. */
export const openCall = (
  organizationId: unknown,
  of: Places<OpeningValues>,
  mostBytes: RawBuilder<unknown> = sql`${largestAnswerBytes}`,
) => sql`
  ${sql.id(functions.openLeases.name)}(
    ${organizationId}, ${of.jobIds}, ${of.zoneSets}, ${of.due}, ${of.listed}, ${of.numbers}, ${of.callers},
    ${of.workerIds}, ${of.requestIds}, ${of.tickets}, ${of.durationsMs}, ${mostBytes}
  )`;

export function readOpened({ offers, takers }: Opening, rows: readonly OpenedRow[]): Opened {
  const leases = takers.map((): StoredLease[] => []);
  const left = offers.map((): number[] => []);
  const repeated: number[] = [];
  const suppressed: Suppressed[] = [];
  for (const { turn, number, nonce, attempt, caller, leasedMs, callBeforeMs, contact } of rows) {
    const offer = turn - 1;
    const { jobId = "", zoneSet = 0, zoneSets = 0 } = offers[offer] ?? {};
    const taker = (caller ?? 0) - 1;
    if (number === null && caller === null)
      suppressed.push({ offer, jobId, zoneSet, zoneSets, count: attempt, finalRevision: nonce ?? undefined });
    else if (number === null) repeated.push(taker);
    else if (nonce === null) left[offer]?.push(number);
    else
      leases[taker]?.push({
        jobId,
        number,
        attempt,
        nonce,
        expiresAt: new Date(leasedMs + (takers[taker]?.durationMs ?? 0)),
        callBefore: dateOrNull(callBeforeMs),
        ...readContact(contact),
      });
  }
  return { leases, left, repeated, suppressed };
}

const open = createStatement<OpeningValues & { organizationId: number }, OpenedRow>(
  (of) => sql`
    select turn, number, nonce, attempt, caller, leased_ms as "leasedMs",
      call_before_ms as "callBeforeMs", contact
    from ${openCall(of.organizationId, of)}`,
);

/**
 * Leases as many of the offered contacts to the takers as are open, as both limits leave room for, and as fit into
 * their answers: retries first, then the lists, in the order of the offers. One round trip and one commit.
 */
export async function openLeases(
  db: Database,
  organizationId: number,
  offers: readonly Offer[],
  takers: readonly LeaseTaker[],
): Promise<Opened> {
  const opening = { offers, takers };
  return readOpened(opening, await open(db, { organizationId, ...openingValues(opening) }));
}

/**
 * What one call of LeaseContacts needs that may be repeated: its ticket, and whether its request id has live leases.
 */
export async function drawTicket(
  db: Database,
  organizationId: number,
  requestId: string,
): Promise<{ ticket: number; isRepeat: boolean }> {
  const { rows } = await sql<{ ticket: number; isRepeat: boolean }>`
    select nextval('lease_tickets') as ticket, exists (
      select from leases
      where organization_id = ${organizationId} and request_id = ${requestId} and request_id <> ''
        and expires_at > (select clock_timestamp())
    ) as "isRepeat"
  `.execute(db);
  const [row] = rows;
  if (row === undefined) throw new Error("no ticket was drawn");
  return row;
}

export type TakenOver = {
  /** As many as the answer holds, with what their worker needs of their jobs, in the order of their contacts. */
  leases: (StoredLease & { fromPhoneNumberId: string; maxAttempts: number })[];
  /** The others, which are nobody's now. */
  surplus: LeaseKey[];
  /** True if a call with a later ticket has the leases. */
  isLate: boolean;
};

/** Gives the live leases that were opened under the taker's request id to the taker, as new leases. */
export async function takeOverLeases(
  db: Database,
  organizationId: number,
  { workerId, requestId, ticket, most, durationMs }: LeaseTaker,
): Promise<TakenOver> {
  const { rows } = await sql<
    Omit<LeaseKey, "number"> & {
      number: number | null;
      expiresMs: number;
      callBeforeMs: number | null;
      fromPhoneNumberId: string;
      maxAttempts: number;
      contact: string | null;
    }
  >`
    select job_id as "jobId", number, attempt, nonce, expires_ms as "expiresMs",
      call_before_ms as "callBeforeMs", from_phone_number_id as "fromPhoneNumberId", max_attempts as "maxAttempts", contact
    from ${sql.id(functions.takeOverLeases.name)}(
      ${organizationId}, ${requestId}, ${ticket}, ${workerId}, ${durationMs}, ${most}, ${largestAnswerBytes}
    )
  `.execute(db);
  const taken: TakenOver = { leases: [], surplus: [], isLate: false };
  for (const { contact, expiresMs, callBeforeMs, number, ...row } of rows) {
    if (number === null) taken.isLate = true;
    else if (contact === null) taken.surplus.push({ ...row, number });
    else {
      const times = { expiresAt: new Date(expiresMs), callBefore: dateOrNull(callBeforeMs) };
      taken.leases.push({ ...row, number, ...times, ...readContact(contact) });
    }
  }
  return taken;
}

export type CheckedLease = {
  readonly expiresAt: Date;
  /** That of the lease, or the end that its job has now, if that comes first. */
  readonly callBefore: Date | null;
  readonly isSuppressed: boolean;
};

/** Those of the leases that are live, and whether the phones of their contacts are suppressed now, or erased. */
export async function checkLeases(
  db: Database,
  organizationId: number,
  keys: readonly LeaseKey[],
): Promise<(CheckedLease | undefined)[]> {
  const { rows } = await sql<CheckedLease & { place: number }>`
    select g.place::int as place, l.expires_at as "expiresAt", least(l.call_before, b.end_at) as "callBefore",
      l.is_erased or exists (
      select from suppressed_phones
      where organization_id = g.organization_id and expires_at > clock_timestamp()
        and phone = ${sql.id(functions.contactPhone.name)}(${lineOf({
          organizationId: sql`g.organization_id`,
          jobId: sql`g.job_id`,
          number: sql`g.number`,
        })})
    ) as "isSuppressed"
    from ${asRows(organizationId, keys)}
    cross join lateral (
      select expires_at, call_before, is_erased from leases
      where organization_id = g.organization_id and job_id = g.job_id and number = g.number and attempt = g.attempt
        and nonce = g.nonce and expires_at > clock_timestamp()
      limit 1
    ) as l
    cross join lateral (
      select end_at from batch_jobs where organization_id = g.organization_id and id = g.job_id limit 1
    ) as b
  `.execute(db);
  const found = new Map(rows.map(({ place, ...lease }) => [place, lease]));
  return keys.map((_, i) => found.get(i + 1));
}

/** Puts off the end of those of the leases that are live; answers the new end of each. */
export async function extendLeases(
  db: Database,
  organizationId: number,
  keys: readonly LeaseKey[],
  durationMs: number,
): Promise<(Date | undefined)[]> {
  const { rows } = await sql<{ place: number; expiresMs: number }>`
    select place, expires_ms as "expiresMs" from ${sql.id(functions.extendLeases.name)}(
      ${organizationId}, ${plainArray(keys.map((k) => k.jobId))}, ${plainArray(keys.map((k) => k.number))},
      ${plainArray(keys.map((k) => k.attempt))}, ${plainArray(keys.map((k) => k.nonce))}, ${durationMs}
    )
  `.execute(db);
  const ends = new Map(
    rows.flatMap(({ place, expiresMs }) => {
      const key = keys[place - 1];
      return key === undefined ? [] : [[nameOf(key), new Date(expiresMs)] as const];
    }),
  );
  return keys.map((key) => ends.get(nameOf(key)));
}
