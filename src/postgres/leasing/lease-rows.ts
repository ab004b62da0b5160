import { sql } from "kysely";
import type { LeaseKey } from "../../domain/contacts/lease-id.ts";

/**
 * An array of numbers or enum words, and of what is not there, as Postgres reads it; much cheaper than what the driver
 * makes of an array.
 */
export const plainArray = (values: readonly (number | string | null | undefined)[]): string =>
  `{${values.map((value) => value ?? "null").join(",")}}`;

/**
 * The columns that name these leases of an organization, one row for each. The organization is among them, and no
 * constant in a join, for which alone rows could be found too.
 */
export const asRows = (organizationId: number, keys: readonly LeaseKey[]) => sql`unnest(
  ${plainArray(keys.map(() => organizationId))}::int[],
  ${plainArray(keys.map((k) => k.jobId))}::uuid[], ${plainArray(keys.map((k) => k.number))}::int[],
  ${plainArray(keys.map((k) => k.attempt))}::int[], ${plainArray(keys.map((k) => k.nonce))}::bigint[]
) with ordinality as g (organization_id, job_id, number, attempt, nonce, place)`;

/** Tells leases apart. */
export const nameOf = ({ jobId, number, attempt, nonce }: LeaseKey): string =>
  `${jobId} ${number} ${attempt} ${nonce}`;
