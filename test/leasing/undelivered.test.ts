import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { toBinary, create } from "@bufbuild/protobuf";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LeaseContactsRequestSchema } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { type Database, openDatabase } from "../../src/postgres/database.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";

const stack = new AsyncDisposableStack();
let service: Awaited<ReturnType<typeof startTestService>>;
let db: Database;
beforeAll(async () => {
  service = stack.use(await startTestService());
  db = openDatabase({ url: service.databaseUrl, poolSize: 2 });
  stack.defer(() => db.destroy());
});
afterAll(() => stack.disposeAsync());

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

const leasesOf = async (batchJobId: string): Promise<number> =>
  (await db.selectFrom("leases").select("number").where("job_id", "=", batchJobId).execute()).length;

describe("leases whose answer its client does not read", () => {
  test("are released when the client goes", async () => {
    const batchJobId = await startJob();
    const session = connectHttp2(service.grpcUrl).on("error", () => {});
    const stream = session
      .request(
        {
          ":method": "POST",
          ":path": "/callsheet.v1.ContactWorkerService/LeaseContacts",
          "content-type": "application/grpc",
          te: "trailers",
          authorization: `Bearer ${service.apiKey}`,
        },
        { endStream: false },
      )
      .on("error", () => {});
    const request = create(LeaseContactsRequestSchema, {
      workerId: "worker",
      maxContacts: 50,
      wait: { seconds: 10n },
      batchJobIds: [batchJobId],
    });
    stream.end(encodeEnvelope(0, toBinary(LeaseContactsRequestSchema, request)));
    await once(stream, "response");
    expect(await leasesOf(batchJobId)).toBe(50);
    session.destroy();
    await eventually(async () => expect(await leasesOf(batchJobId)).toBe(0));
    expect(
      await db.selectFrom("batch_jobs").selectAll().where("id", "=", batchJobId).executeTakeFirst(),
    ).toMatchObject({ pending_contacts: 50, dialing_contacts: 0, unknown_contacts: 0 });
  });
});
