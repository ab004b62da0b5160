import { service } from "../../data/client.ts";
import { insist } from "../../data/insist.ts";
import { type Picked, asRequest } from "../../ui/start-time-picker.tsx";
import { type Settings, readDelays } from "./settings.ts";
import type { Start } from "./start-choice.tsx";

const tries = 8;

/** Creates the job, empty and without a start time; answers its id. */
export async function createJob(settings: Settings, requestId: string): Promise<string> {
  const request = {
    requestId,
    name: settings.name.trim(),
    description: settings.description.trim(),
    fromPhoneNumberId: settings.fromPhoneNumberId.trim(),
    concurrentCallLimit: Number(settings.concurrentCallLimit),
    maxAttempts: Number(settings.maxAttempts),
    retryOn: [...settings.retryOn],
    retryDelays: (readDelays(settings.retryMinutes) ?? []).map((seconds) => ({ seconds: BigInt(seconds) })),
  };
  const { batchJobId } = await insist(() => service.createBatchJob(request), { tries });
  return batchJobId;
}

/** Starts or schedules the job as was chosen; answers what the service says to it. */
export async function startAsChosen(
  batchJobId: string,
  requestId: string,
  start: Start,
  picked: Picked,
): Promise<string> {
  const request = { batchJobId, requestId };
  if (start === "now") return (await insist(() => service.startBatchJob(request), { tries })).message;
  if (start === "scheduled") {
    const wanted = { ...request, ...asRequest(picked) };
    return (await insist(() => service.rescheduleBatchJob(wanted), { tries })).message;
  }
  return "It waits to be started";
}
