const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Sorts before every id: where a walk over jobs in the order of their ids begins. */
export const beforeAllJobs = "00000000-0000-0000-0000-000000000000";

/** A job, and whose it is: the number of its organization. */
export type JobKey = { readonly id: string; readonly organizationId: number };

/** A job in one word: as messages name it, and apart from all others, also from one of this id elsewhere. */
export const writeJobKey = ({ id, organizationId }: JobKey): string => `${organizationId} ${id}`;

/** What writeJobKey wrote. */
export function readJobKey(key: string): JobKey {
  const end = key.indexOf(" ");
  return { id: key.slice(end + 1), organizationId: Number(key.slice(0, end)) };
}

/** True for what may be the id of a job. */
export const isUuid = (text: string): boolean => uuid.test(text);
