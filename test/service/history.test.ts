import type { JsonObject } from "@bufbuild/protobuf";
import { sql } from "kysely";
import { afterAll, describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { answered, bothListeners, callerFor } from "./callers.ts";

/* How a job's counts came about, as clients see it. */

const service = await startTestService();
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

type Job = { startedAt?: string; finishedAt?: string; history: { at: string; counts: JsonObject }[] };

describe.each(bothListeners)("over %s", (name) => {
  const call = callerFor(name, service);
  const jobOf = async (batchJobId: string, asked: JsonObject = { includeHistory: true }) =>
    (await answered<{ batchJob: Job }>(call("getBatchJob", { batchJobId, ...asked }))).batchJob;

  async function create(): Promise<string> {
    const job = { name: "Spring campaign", fromPhoneNumberId: "pn_1", contacts: makeContacts(3) };
    return (await answered<{ batchJobId: string }>(call("createBatchJob", job))).batchJobId;
  }

  test("a job has no history before it starts, and none where nobody asks for it", async () => {
    const batchJobId = await create();
    expect((await jobOf(batchJobId)).history).toEqual([]);
    await call("startBatchJob", { batchJobId });
    expect((await jobOf(batchJobId, {})).history).toEqual([]);
    const updated = await answered<{ batchJob: Job }>(call("updateBatchJob", { batchJobId, name: "Summer" }));
    expect(updated.batchJob.history).toEqual([]);
    const { batchJobs } = await answered<{ batchJobs: Job[] }>(call("listBatchJobs", {}));
    expect(batchJobs.flatMap(({ history }) => history)).toEqual([]);
  });

  test("the service notes it while the job runs, and it ends with what became of everybody", async () => {
    const batchJobId = await create();
    await call("startBatchJob", { batchJobId });
    await eventually(async () => {
      const noted = await sql`select from history where job_id = ${batchJobId}`.execute(db);
      expect(noted.rows).toHaveLength(1);
    }, 30_000);
    await call("cancelBatchJob", { batchJobId });
    const { startedAt, finishedAt, history } = await jobOf(batchJobId);
    expect(history[0]).toMatchObject({ at: startedAt, counts: { total: 3, pending: 3, cancelled: 0 } });
    expect(history[1]).toMatchObject({ counts: { total: 3, pending: 3, cancelled: 0 } });
    expect(history.at(-1)).toMatchObject({ at: finishedAt, counts: { total: 3, pending: 0, cancelled: 3 } });
  });
});
