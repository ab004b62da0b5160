import {
  type DescMethod,
  type DescMethodStreaming,
  type DescMethodUnary,
  create,
  getOption,
} from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import { ConnectError, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, describe, expect, test } from "vitest";
import { roles } from "../../src/domain/caller.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { roles as rolesOption } from "../../src/gen/callsheet/v1/options_pb.ts";
import { makeApiKey } from "../support/api-key.ts";
import { describeRefusal } from "../support/refusal.ts";
import { startTestService } from "../support/service.ts";
import { everyMethod, rolesOf, services, servicesInProto } from "./every-rpc.ts";

/* Every RPC, of whichever kind, with a key of each role, on both listeners. */

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());
const keys = new Map<string, string>();
for (const role of roles) keys.set(role, (await makeApiKey(service.db, { role })).key);

const listeners: Record<string, () => Transport> = {
  gRPC: () => createGrpcTransport({ baseUrl: service.grpcUrl }),
  Connect: () => createConnectTransport({ baseUrl: service.httpUrl, httpVersion: "1.1" }),
};

const isUnary = (method: DescMethod): method is DescMethod & DescMethodUnary => method.methodKind === "unary";

/** Why a call with an empty message is refused; "" if it is not. */
async function reasonOf(transport: Transport, method: DescMethod, role: string): Promise<[string, unknown]> {
  const headers = { authorization: `Bearer ${keys.get(role)}` };
  const message = create(method.input);
  try {
    if (isUnary(method)) {
      await transport.unary(method, undefined, 10_000, headers, message);
      return ["", undefined];
    }
    async function* messages() {
      yield message;
    }
    const answer = await transport.stream(
      method as DescMethodStreaming,
      undefined,
      10_000,
      headers,
      messages(),
    );
    for await (const _ of answer.message) break;
    return ["", undefined];
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    const { reason, metadata } = describeRefusal(error);
    return [reason, metadata["allowedRoles"]];
  }
}

test("every service of the proto is looked at here", () => {
  expect(services.map(({ name }) => name).toSorted()).toEqual(servicesInProto().toSorted());
});

test.each(everyMethod)("$parent.name/$name says in the proto who may call it", (method) => {
  expect(getOption(method, rolesOption)).not.toEqual([]);
});

test("a viewer may call what changes no batch job, and nothing else of the service", () => {
  for (const method of BatchJobService.methods) {
    const isRead = method.idempotency === Idempotency.NO_SIDE_EFFECTS;
    expect([method.name, rolesOf(method).includes("viewer")]).toEqual([method.name, isRead]);
  }
});

describe.each(Object.keys(listeners))("over %s", (listener) => {
  describe.each(roles)("a key with the role %s", (role) => {
    test.each(everyMethod)(
      "is let through to $parent.name/$name if it says so, and only then",
      async (method) => {
        const transport = listeners[listener]?.();
        if (transport === undefined) throw new Error("no such listener");
        const [reason, allowedRoles] = await reasonOf(transport, method, role);
        const mayCall = rolesOf(method).includes(role);
        expect({ isDenied: reason === "permission_denied", allowedRoles }).toEqual({
          isDenied: !mayCall,
          allowedRoles: mayCall ? undefined : rolesOf(method).join(","),
        });
      },
    );
  });
});
