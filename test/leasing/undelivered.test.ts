import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { toBinary, create } from "@bufbuild/protobuf";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { afterAll, describe, expect, inject, test } from "vitest";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import {
  LeaseContactsRequestSchema,
  ReportOutcomesRequestSchema,
} from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { openRedis } from "../../src/redis/connection.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { connected } from "../support/parts.ts";
import { startTestService } from "../support/service.ts";

const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());
const service = stack.use(await startTestService());
const { db } = service;
const redis = await connected(openRedis(inject("redisUrl")));
stack.defer(() => redis.disconnect());

/** A running job the contacts of which are more than an HTTP/2 client takes that does not read. */
async function startJob(): Promise<string> {
  const backend = service.clientWith(service.apiKey);
  const fields = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`field ${i}`, "x".repeat(500)]));
  const { batchJobId } = await backend.createBatchJob({
    name: "Spring campaign",
    fromPhoneNumberId: "pn_1",
    contacts: makeContacts(50).map((contact) => ({ ...contact, fields })),
    concurrentCallLimit: 100,
  });
  await backend.startBatchJob({ batchJobId });
  return batchJobId;
}

/** Until the job's contacts can be leased without waiting: its list is filled beside the answer to its start. */
const untilListed = (batchJobId: string) =>
  eventually(async () => {
    const [key = ""] = await redis.keys(`${service.prefix}:*${batchJobId}:contacts`);
    expect(await redis.llen(key)).toBe(50);
  });

const leasesOf = async (batchJobId: string): Promise<number> =>
  (await db.selectFrom("leases").select("number").where("job_id", "=", batchJobId).execute()).length;

describe("leases whose answer its client does not read", () => {
  test.each(["LeaseContacts", "ReportOutcomes"] as const)(
    "are released when the client of %s goes",
    async (rpc) => {
      const batchJobId = await startJob();
      const session = connectHttp2(service.grpcUrl).on("error", () => {});
      const stream = session
        .request(
          {
            ":method": "POST",
            ":path": `/callsheet.v1.ContactWorkerService/${rpc}`,
            "content-type": "application/grpc",
            te: "trailers",
            authorization: `Bearer ${service.apiKey}`,
          },
          { endStream: false },
        )
        .on("error", () => {});
      const asking = { workerId: "worker", maxContacts: 50, batchJobIds: [batchJobId] };
      const leasing = create(LeaseContactsRequestSchema, { ...asking, wait: { seconds: 10n } });
      const reporting = create(ReportOutcomesRequestSchema, {
        outcomes: [{ leaseId: "none", outcome: Outcome.COMPLETED }],
        leaseNext: asking,
      });
      const message =
        rpc === "LeaseContacts"
          ? toBinary(LeaseContactsRequestSchema, leasing)
          : toBinary(ReportOutcomesRequestSchema, reporting);
      await untilListed(batchJobId);
      stream.end(encodeEnvelope(0, message));
      await once(stream, "response");
      expect(await leasesOf(batchJobId)).toBe(50);
      session.destroy();
      await eventually(async () => expect(await leasesOf(batchJobId)).toBe(0));
      expect(
        await db.selectFrom("batch_jobs").selectAll().where("id", "=", batchJobId).executeTakeFirst(),
      ).toMatchObject({ pending_contacts: 50, dialing_contacts: 0, unknown_contacts: 0 });
    },
  );
});
