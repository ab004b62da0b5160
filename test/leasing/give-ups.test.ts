import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { fromJsonString } from "@bufbuild/protobuf";
import { type Client, type Transport, createClient } from "@connectrpc/connect";
import { afterAll, expect, test } from "vitest";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import {
  ContactWorkerService,
  LeaseContactsResponseSchema,
  RecordedOutcome_Result as Result,
} from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { type Random, createRandom } from "../support/random.ts";
import { startTestService } from "../support/service.ts";
import { connectTo, grpcTo, grpcWebTo } from "../support/transports.ts";
import { createHands } from "./hands.ts";

const giveUps = 300;
const longestPatienceMs = 12;
const answers = 100;
const seed = Number(process.env["GIVE_UPS_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

const service = await startTestService();
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

const overGrpc = (): Transport => grpcTo(service.grpcUrl, service.apiKey);

const transports: Record<string, () => Transport> = {
  gRPC: overGrpc,
  Connect: () => connectTo(service.httpUrl, service.apiKey),
  "gRPC-Web": () => grpcWebTo(service.httpUrl, service.apiKey),
};

async function startJob(): Promise<string> {
  const backend = service.clientWith(service.apiKey);
  const { batchJobId } = await backend.createBatchJob({
    name: "Spring campaign",
    fromPhoneNumberId: "pn_1",
    contacts: makeContacts(2_000),
    concurrentCallLimit: 100,
  });
  await backend.startBatchJob({ batchJobId });
  return batchJobId;
}

/** Gives a call up after 0 to 12 ms, by its deadline or by going away, and repeats it, until one is answered. */
async function leaseInTheEnd(
  client: Client<typeof ContactWorkerService>,
  random: Random,
  batchJobId: string,
) {
  const request = { workerId: "worker", requestId: randomUUID(), maxContacts: 3, batchJobIds: [batchJobId] };
  let givenUp = 0;
  for (let left = random.between(0, 4); left > 0; left -= 1) {
    const patienceMs = random.between(0, longestPatienceMs);
    const away = new AbortController();
    const options = random.chance(0.5)
      ? { timeoutMs: Math.max(1, patienceMs) }
      : { signal: away.signal, timeoutMs: 60_000 };
    const call = client.leaseContacts(request, options);
    if (options.timeoutMs === 60_000) void delay(patienceMs).then(() => away.abort());
    const answer = await call.catch(() => undefined);
    if (answer !== undefined) return { contacts: answer.contacts, givenUp };
    givenUp += 1;
  }
  const { contacts } = await client.leaseContacts({ ...request, wait: { seconds: 5n } });
  return { contacts, givenUp };
}

test.each(Object.entries(transports))(
  `over %s no contact is in two hands, and no lease dies, though workers give calls up and repeat them (seed ${seed})`,
  async (_, transport) => {
    const batchJobId = await startJob();
    const hands = createHands();
    const dead: string[] = [];
    let givenUp = 0;

    async function work(name: string, random: Random): Promise<void> {
      const client = createClient(ContactWorkerService, transport());
      while (givenUp < giveUps) {
        const leased = await leaseInTheEnd(client, random, batchJobId);
        givenUp += leased.givenUp;
        hands.take(name, leased.contacts);
        await delay(random.between(5, 40));
        hands.lay(leased.contacts);
        if (leased.contacts.length === 0) continue;
        const outcomes = leased.contacts.map(({ leaseId }) => ({ leaseId, outcome: Outcome.COMPLETED }));
        const reported = await client.reportOutcomes({ outcomes });
        dead.push(
          ...reported.outcomes.flatMap(({ leaseId, result }) =>
            result === Result.RECORDED ? [] : [`${leaseId} ${result}`],
          ),
        );
      }
    }
    await Promise.all([work("one", createRandom(seed)), work("another", createRandom(seed + 1))]);
    expect.soft(hands.twice).toEqual([]);
    expect.soft(dead).toEqual([]);
    // What was given up and not repeated in time was released.
    await eventually(async () => {
      const live = await db.selectFrom("leases").select("number").where("job_id", "=", batchJobId).execute();
      expect(live).toEqual([]);
    });
  },
  120_000,
);

/** Leases one contact over Connect, and closes the connection as soon as the last byte of the answer is there. */
async function leaseAndGo(batchJobId: string) {
  const body = JSON.stringify({ workerId: "worker", maxContacts: 1, batchJobIds: [batchJobId], wait: "5s" });
  const socket = connect(Number(new URL(service.httpUrl).port), "127.0.0.1");
  socket.write(
    `POST /${ContactWorkerService.typeName}/LeaseContacts HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${service.apiKey}\r\n` +
      `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  let said = "";
  for await (const bytes of socket) {
    said += String(bytes);
    const [head = "", answer = ""] = said.split("\r\n\r\n");
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? Infinity);
    if (answer.length < length) continue;
    socket.destroy();
    return fromJsonString(LeaseContactsResponseSchema, answer).contacts;
  }
  throw new Error("the answer broke off");
}

test("an answer that came whole counts, though its worker closes the connection at once", async () => {
  const batchJobId = await startJob();
  const client = createClient(ContactWorkerService, overGrpc());
  const results: Result[] = [];
  for (let i = 0; i < answers; i += 1) {
    const contacts = await leaseAndGo(batchJobId);
    const outcomes = contacts.map(({ leaseId }) => ({ leaseId, outcome: Outcome.COMPLETED }));
    const reported = await client.reportOutcomes({ outcomes });
    results.push(...reported.outcomes.map(({ result }) => result));
  }
  expect(results).toEqual(results.map(() => Result.RECORDED));
  expect(results).toHaveLength(answers);
}, 120_000);
