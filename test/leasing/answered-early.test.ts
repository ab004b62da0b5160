import { randomUUID } from "node:crypto";
import {
  Code,
  ConnectError,
  createClient,
  createContextKey,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { describe, expect, test } from "vitest";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import type { Leasing } from "../../src/leasing/leasing.ts";
import { contactWorkerService } from "../../src/rpc/services/contact-worker-service.ts";
import { createErrorTranslation } from "../../src/rpc/errors.ts";
import { createGate } from "../../src/rpc/gate/gate.ts";
import { openCallsInterceptor } from "../../src/rpc/calls/open-calls.ts";
import { serviceEntry } from "../../src/rpc/services/service-table.ts";
import { refusalOf } from "../rpc/calls.ts";
import { type Listeners, startEcho } from "../rpc/echo.ts";
import { makeContacts } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { inNewOrganizations } from "../support/replicas.ts";
import { expectAllLive, runJob } from "./leases.ts";

let parts: Parts;
inNewOrganizations((own) => (parts = own));

/** A replica whose first call gets no further than its handler's beginning until it may, and is answered meanwhile. */
async function startHeldUp() {
  const may = Promise.withResolvers<void>();
  const entered = Promise.withResolvers<void>();
  const over = Promise.withResolvers<void>();
  let calls = 0;
  async function heldUp<T>(work: () => Promise<T>): Promise<T> {
    calls += 1;
    if (calls > 1) return await work();
    entered.resolve();
    await may.promise;
    return await work().finally(over.resolve);
  }
  const leasing: Leasing = {
    ...parts.leasing,
    lease: (request) => heldUp(() => parts.leasing.lease(request)),
    report: (...given) => heldUp(() => parts.leasing.report(...given)),
  };
  const isFirst = createContextKey(false);
  /** As the service does once it knows that Postgres does not answer. */
  const answerFirst: Interceptor = (next) => async (request) => {
    request.contextValues.set(isFirst, calls === 0);
    const answer = next(request);
    if (!request.contextValues.get(isFirst)) return await answer;
    answer.catch(() => {});
    await entered.promise;
    throw new ConnectError("The database does not answer; try again in a moment.", Code.Unavailable);
  };
  const { metrics, logger, recorder, caller } = parts;
  const translate = createErrorTranslation(logger, () => undefined);
  const listeners = await startEcho({
    services: [serviceEntry(ContactWorkerService, contactWorkerService(leasing, recorder))],
    gate: createGate(async () => caller, { translate, refused: () => {} }),
    interceptors: [
      openCallsInterceptor({ whileValid: () => () => {}, translate, metrics, streamMaxAgeMs: Infinity }),
      answerFirst,
    ],
  });
  return {
    listeners,
    /** Lets the first call's handler go on; resolves when it is over. */
    async letGo() {
      may.resolve();
      await over.promise;
    },
    [Symbol.asyncDispose]: () => listeners[Symbol.asyncDispose](),
  };
}

const transports: Record<string, (listeners: Listeners) => Transport> = {
  gRPC: ({ grpc }) => createGrpcTransport({ baseUrl: `http://127.0.0.1:${grpc.port}` }),
  Connect: ({ http }) =>
    createConnectTransport({ baseUrl: `http://127.0.0.1:${http.port}`, httpVersion: "1.1" }),
  "gRPC-Web": ({ http }) =>
    createGrpcWebTransport({ baseUrl: `http://127.0.0.1:${http.port}`, httpVersion: "1.1" }),
};

describe.each(Object.entries(transports))(
  "a call that was answered before its handler, over %s,",
  (_, transport) => {
    test.each(["LeaseContacts", "ReportOutcomes"] as const)(
      "takes nothing from its repeat, as %s",
      async (rpc) => {
        await using replica = await startHeldUp();
        const batchJobId = await runJob(parts, { contacts: makeContacts(3) });
        const client = createClient(ContactWorkerService, transport(replica.listeners));
        const asking = { workerId: "w", requestId: randomUUID(), maxContacts: 2, batchJobIds: [batchJobId] };
        const reporting = {
          outcomes: [{ leaseId: "none", outcome: Outcome.COMPLETED }],
          leaseNext: asking,
        };
        const ask = async () =>
          rpc === "LeaseContacts"
            ? await client.leaseContacts(asking)
            : await client.reportOutcomes(reporting);
        expect(await refusalOf(ask())).toMatchObject({ code: "Unavailable" });
        const { contacts } = await ask();
        expect(contacts).toHaveLength(2);
        await replica.letGo();
        await expectAllLive(parts, contacts);
      },
    );
  },
);
