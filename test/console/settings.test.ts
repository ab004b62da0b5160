import { expect, test } from "vitest";
import { firstSettings, problemsOf, readDelays } from "../../src/console/ui/settings/settings.ts";
import { CreateBatchJobRequestSchema } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { boundsOf } from "../../src/rpc/requests/rules.ts";

test.each(["concurrentCallLimit", "maxAttempts"] as const)("%s may be what the proto lets pass", (field) => {
  const { least, most } = boundsOf(CreateBatchJobRequestSchema.field[field]);
  const values = [least - 1, least, most, most + 1];
  const flawed = values.filter((value) => field in problemsOf({ ...firstSettings, [field]: String(value) }));
  expect(flawed).toEqual([least - 1, most + 1]);
});

const minutes = (count: number): string => Array.from({ length: count }, () => "5").join();

test("so many delays may be given as the proto lets pass", () => {
  const { most } = boundsOf(CreateBatchJobRequestSchema.field.retryDelays);
  expect(readDelays(minutes(most))).toHaveLength(most);
  expect(readDelays(minutes(most + 1))).toBeUndefined();
});
