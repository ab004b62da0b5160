import { serviceWith } from "./client.ts";
import { refusalOf } from "./refusal.ts";
import type { Session } from "./session.ts";

/**
 * Finds out whether the service accepts the key, and for what; rejects as the service does.
 *
 * Whether it may create jobs is asked with a request that can never succeed: the service looks at the role before it
 * looks at the fields, so that only a key that may create is told what is wrong with them.
 */
export async function tryKey(apiKey: string): Promise<Session> {
  const service = serviceWith(apiKey);
  await service.listBatchJobs({ pageSize: 1 });
  try {
    await service.createBatchJob({});
  } catch (error) {
    const { reason, isAway } = refusalOf(error);
    if (isAway) throw error;
    return { apiKey, mayCreate: reason === "invalid_argument" };
  }
  throw new Error("a job without a name was created");
}
