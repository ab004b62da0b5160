import { connect } from "node:net";
import { once } from "node:events";
import { expect, test } from "vitest";
import { generateApiKey } from "../../src/domain/api-key.ts";
import { makeApiKey } from "../support/api-key.ts";
import { startTestService } from "../support/service.ts";
import { type CallerName, callerFor } from "./callers.ts";

const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);

const clients: CallerName[] = ["grpc-js", "Connect binary", "gRPC-Web", "plain fetch"];

test.each(clients)("an address with nothing but wrong keys is told to come later, over %s", async (name) => {
  await using service = await startTestService();
  const callWith = (apiKey: string) => callerFor(name, { ...service, apiKey })("listBatchJobs", {});
  const codes: string[] = [];
  for (let i = 0; i < 25; i += 1) {
    const reply = await callWith(generateApiKey());
    codes.push("refused" in reply ? reply.refused.code : "ok");
  }
  expect(codes).toEqual([...times(20, () => "unauthenticated"), ...times(5, () => "resource_exhausted")]);
  const limited = await callWith(generateApiKey());
  expect(limited).toMatchObject({
    refused: {
      details: [
        { metadata: { code: "rate_limited", limit: "20" } },
        { "@type": "google.rpc.RetryInfo", retryDelay: expect.stringMatching(/^[1-6]?\d\.\d+s$/) },
      ],
    },
  });
  // A valid key is taken at once, whatever came from its address, and is good for the others there.
  expect(await callWith(service.apiKey)).toHaveProperty("ok");
  expect(await callWith(generateApiKey())).toMatchObject({ refused: { code: "unauthenticated" } });
  const metrics = await (await fetch(`${service.httpUrl}/metrics`)).text();
  expect(metrics).toContain('callsheet_rate_limited_total{class="unknown_key"} 6');
});

const post = (apiKey: string) =>
  `POST /callsheet.v1.BatchJobService/ListBatchJobs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer ${apiKey}\r\ncontent-length: 2\r\n\r\n{}`;

test("a first call under a key is answered while a thousand connections at its address have wrong ones", async () => {
  await using service = await startTestService();
  const { key } = await makeApiKey(service.db, { role: "viewer" });
  const { port } = new URL(service.httpUrl);
  const open = () => connect(Number(port), "127.0.0.1").on("error", () => {});
  let answered = 0;
  const sockets = times(1_000, open);
  await Promise.all(sockets.map((socket) => once(socket, "connect")));
  for (const socket of sockets) {
    socket.on("data", () => {
      answered += 1;
      socket.write(post(generateApiKey()));
    });
    socket.write(post(generateApiKey()));
  }
  // The flood is under way.
  await Promise.any(sockets.map((socket) => once(socket, "data")));
  const client = open();
  await once(client, "connect");
  const before = answered;
  client.write(post(key));
  const [answer] = await once(client, "data");
  const meanwhile = answered - before;
  for (const socket of [...sockets, client]) socket.destroy();
  expect(String(answer)).toMatch(/^HTTP\/1.1 200 /);
  // In the order of their coming it would have been the last of a thousand.
  expect(meanwhile).toBeLessThan(400);
});
