import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { ServiceImpl } from "@connectrpc/connect";
import { pino } from "pino";
import { expect, test } from "vitest";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { createErrorTranslation } from "../../src/rpc/errors.ts";
import { createGate } from "../../src/rpc/gate/gate.ts";
import { observationInterceptor } from "../../src/rpc/calls/observation.ts";
import { createRefused } from "../../src/rpc/gate/refusals.ts";

import { serviceEntry } from "../../src/rpc/services/service-table.ts";
import { createMetrics } from "../../src/vitals/metrics.ts";
import { eventually } from "../support/eventually.ts";
import { startEcho } from "./echo.ts";

type Line = { callId?: string; code?: string; msg: string };

/** A call that never ends by itself, told to be over with all that looks after calls in place. */
async function startEndless() {
  const lines: Line[] = [];
  const logger = pino({ level: "debug" }, { write: (line) => void lines.push(JSON.parse(line)) });
  const metrics = createMetrics();
  const refused = createRefused({ metrics, logger });
  const translate = createErrorTranslation(logger, () => undefined);
  const begun = Promise.withResolvers<void>();
  const endless = (_: unknown, { signal }: { signal: AbortSignal }): Promise<never> => {
    begun.resolve();
    // It ends some time after it was told to, as one that waits for Postgres does.
    return new Promise((__, reject) => {
      signal.addEventListener("abort", () => void delay(100).then(() => reject(signal.reason)));
    });
  };
  const oneMethod = { importContacts: endless } as Partial<
    ServiceImpl<typeof BatchJobService>
  > as ServiceImpl<typeof BatchJobService>;
  const caller = { organizationId: 7, apiKeyId: "k", role: "admin" as const };
  const listeners = await startEcho({
    observe: [observationInterceptor(metrics, logger)],
    gate: createGate(async () => caller, { translate, refused }),
    refused,
    one: endless,
    services: [serviceEntry(BatchJobService, oneMethod)],
  });
  const counted = async () =>
    (await metrics.rpcs.get()).values.map(({ labels, value }) => [labels.code, value]);
  return { ...listeners, begun: begun.promise, lines, counted };
}

/** The one line of the call, once it is there and whatever else might come has come. */
async function endOf({ lines }: Awaited<ReturnType<typeof startEndless>>): Promise<Line[]> {
  await eventually(() => expect(lines).not.toEqual([]));
  await delay(200);
  return lines;
}

test("a call that its deadline ends has its id in the answer, in the log and among the figures", async () => {
  await using service = await startEndless();
  const response = await fetch(`http://127.0.0.1:${service.http.port}/test.v1.Echo/One`, {
    method: "POST",
    headers: { "content-type": "application/json", "connect-timeout-ms": "100" },
    body: "{}",
  });
  const callId = response.headers.get("callsheet-call-id");
  expect([response.status, callId]).toEqual([504, expect.stringMatching(/^[0-9a-f-]{36}$/)]);
  expect(await endOf(service)).toMatchObject([{ callId, code: "deadline_exceeded", msg: "call ended" }]);
  expect(await service.counted()).toEqual([["deadline_exceeded", 1]]);
});

test("an upload that is ended has its id in the answer, in the log and among the figures", async () => {
  await using service = await startEndless();
  const socket = connect(service.http.port, "127.0.0.1");
  let answer = "";
  socket.on("data", (chunk) => (answer += String(chunk)));
  socket.write("POST /batch-jobs/x/contacts.csv HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nphone\n");
  await service.begun;
  await service.http.stop(50);
  await eventually(() => expect(answer).toMatch(/^HTTP\/1.1 503 /));
  const [, callId] = /callsheet-call-id: ([0-9a-f-]{36})/.exec(answer) ?? [];
  expect(callId).toBeDefined();
  expect(await endOf(service)).toMatchObject([{ callId, code: "unavailable", msg: "call ended" }]);
  expect(await service.counted()).toEqual([["unavailable", 1]]);
});
