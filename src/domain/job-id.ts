const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Sorts before every id: where a walk over jobs in the order of their ids begins. */
export const beforeAllJobs = "00000000-0000-0000-0000-000000000000";

/** True for what may be the id of a job. */
export const isUuid = (text: string): boolean => uuid.test(text);
