import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { create, createFileRegistry, fromBinary, getOption, type MessageInitShape } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { createClient, createServiceImplSpec } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect, test } from "vitest";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { max_request_bytes, rate_class, roles } from "../../src/gen/callsheet/v1/options_pb.ts";
import {
  ServerReflection,
  type ServerReflectionRequestSchema,
} from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../src/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { startGrpcListener } from "../../src/rpc/grpc/listener.ts";
import { reflectionEntries } from "../../src/rpc/services/reflection.ts";

type Question = NonNullable<MessageInitShape<typeof ServerReflectionRequestSchema>["messageRequest"]>;

const services = [
  createServiceImplSpec<typeof BatchJobService>(BatchJobService, {
    listBatchJobs: () => ({ batchJobs: [{ name: "a job" }] }),
  }),
];

async function startReflection() {
  const { port, stop } = await startGrpcListener({
    host: "127.0.0.1",
    port: 0,
    services: [...services, ...reflectionEntries(services)],
    interceptors: [],
    gate: () => {},
  });
  return { port, [Symbol.asyncDispose]: () => stop(0) };
}

describe.each([
  ["v1", ServerReflection],
  ["v1alpha", ServerReflectionAlpha],
])("reflection %s", (_, service) => {
  /** Asks all the questions in one stream. */
  async function ask(port: number, ...questions: Question[]) {
    const client = createClient(service, createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` }));
    async function* requests() {
      for (const messageRequest of questions) yield { host: "here", messageRequest };
    }
    const answers = [];
    for await (const answer of client.serverReflectionInfo(requests())) answers.push(answer);
    return answers;
  }

  /** The files of an answer, the one that was asked for first. */
  async function filesOf(port: number, question: Question) {
    const [answer] = await ask(port, question);
    if (answer?.messageResponse.case !== "fileDescriptorResponse") {
      throw new Error(`no files: ${JSON.stringify(answer?.messageResponse.value)}`);
    }
    return answer.messageResponse.value.fileDescriptorProto.map((bytes) =>
      fromBinary(FileDescriptorProtoSchema, bytes),
    );
  }

  test("lists the services, itself included", async () => {
    await using server = await startReflection();
    const [answer] = await ask(server.port, { case: "listServices", value: "" });
    expect(answer?.messageResponse).toMatchObject({
      case: "listServicesResponse",
      value: {
        service: [
          { name: "callsheet.v1.BatchJobService" },
          { name: "grpc.reflection.v1.ServerReflection" },
          { name: "grpc.reflection.v1alpha.ServerReflection" },
        ],
      },
    });
  });

  test.each([
    "callsheet/v1/batch_job_service.proto",
    "callsheet/v1/options.proto",
    "buf/validate/validate.proto",
    "google/protobuf/descriptor.proto",
    "grpc/reflection/v1alpha/reflection.proto",
  ])("gives a file with all that it imports: %s", async (name) => {
    await using server = await startReflection();
    const files = await filesOf(server.port, { case: "fileByFilename", value: name });
    const names = files.map((file) => file.name);
    expect(names[0]).toBe(name);
    expect(new Set(names).size).toBe(names.length);
    expect(
      files.flatMap((file) => file.dependency).filter((dependency) => !names.includes(dependency)),
    ).toEqual([]);
  });

  test("gives files that a client can work with, options included", async () => {
    await using server = await startReflection();
    const file = await filesOf(server.port, {
      case: "fileContainingSymbol",
      value: "callsheet.v1.BatchJobService",
    });
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: file.toReversed() }));
    const found = registry.getService("callsheet.v1.BatchJobService");
    expect(found?.methods.map(({ name }) => name)).toEqual(BatchJobService.methods.map(({ name }) => name));
    expect(found?.methods.map((method) => getOption(method, roles))).toEqual(
      BatchJobService.methods.map((method) => getOption(method, roles)),
    );
  });

  test.each([
    ["service", "callsheet.v1.BatchJobService", "callsheet/v1/batch_job_service.proto"],
    ["method", "callsheet.v1.BatchJobService.CreateBatchJob", "callsheet/v1/batch_job_service.proto"],
    ["message", "callsheet.v1.CreateBatchJobRequest", "callsheet/v1/batch_job_service.proto"],
    ["field", "callsheet.v1.CreateBatchJobRequest.request_id", "callsheet/v1/batch_job_service.proto"],
    ["enum", "callsheet.v1.Role", "callsheet/v1/options.proto"],
    ["enum value", "callsheet.v1.ROLE_ADMIN", "callsheet/v1/options.proto"],
    ["extension", "callsheet.v1.roles", "callsheet/v1/options.proto"],
    ["oneof", "buf.validate.FieldRules.type", "buf/validate/validate.proto"],
    ["field of a oneof", "buf.validate.FieldRules.string", "buf/validate/validate.proto"],
    ["nested message", "google.protobuf.DescriptorProto.ExtensionRange", "google/protobuf/descriptor.proto"],
    ["nested enum", "google.protobuf.FieldOptions.CType", "google/protobuf/descriptor.proto"],
    ["detail of errors", "google.rpc.ErrorInfo", "google/rpc/error_details.proto"],
    ["status with its details", "google.rpc.Status", "google/rpc/status.proto"],
    ["nested enum value", "google.protobuf.FieldOptions.CORD", "google/protobuf/descriptor.proto"],
  ])("finds the file of a %s: %s", async (_kind, symbol, name) => {
    await using server = await startReflection();
    const [file] = await filesOf(server.port, { case: "fileContainingSymbol", value: symbol });
    expect(file?.name).toBe(name);
  });

  test("finds extensions by their number", async () => {
    await using server = await startReflection();
    const containingType = "google.protobuf.MethodOptions";
    const [file] = await filesOf(server.port, {
      case: "fileContainingExtension",
      value: { containingType, extensionNumber: roles.number },
    });
    expect(file?.name).toBe("callsheet/v1/options.proto");
    const [answer] = await ask(server.port, { case: "allExtensionNumbersOfType", value: containingType });
    expect(answer?.messageResponse).toMatchObject({
      case: "allExtensionNumbersResponse",
      value: {
        baseTypeName: containingType,
        extensionNumber: [roles.number, max_request_bytes.number, rate_class.number],
      },
    });
  });

  test("answers a message without extensions with none", async () => {
    await using server = await startReflection();
    const [answer] = await ask(server.port, {
      case: "allExtensionNumbersOfType",
      value: "callsheet.v1.BatchJob",
    });
    expect(answer?.messageResponse).toMatchObject({
      case: "allExtensionNumbersResponse",
      value: { extensionNumber: [] },
    });
  });

  test("answers what is not there inside the stream, which goes on", async () => {
    await using server = await startReflection();
    const questions: Question[] = [
      { case: "fileByFilename", value: "no/such.proto" },
      { case: "fileContainingSymbol", value: "no.Such" },
      {
        case: "fileContainingExtension",
        value: { containingType: "google.protobuf.MethodOptions", extensionNumber: 1 },
      },
      { case: "fileContainingExtension", value: { containingType: "no.Such", extensionNumber: 1 } },
      { case: "allExtensionNumbersOfType", value: "no.Such" },
      { case: "listServices", value: "" },
    ];
    const answers = await ask(server.port, ...questions);
    expect(answers.slice(0, -1).map(({ messageResponse }) => messageResponse)).toEqual(
      Array.from({ length: 5 }, () => ({
        case: "errorResponse",
        value: expect.objectContaining({
          errorCode: 5,
          errorMessage: expect.stringMatching(/^there is no .* here$/),
        }),
      })),
    );
    expect(answers.at(-1)?.messageResponse.case).toBe("listServicesResponse");
  });

  test("repeats the question beside each answer", async () => {
    await using server = await startReflection();
    const [answer] = await ask(server.port, { case: "fileByFilename", value: "no/such.proto" });
    expect(answer).toMatchObject({
      validHost: "here",
      originalRequest: { host: "here", messageRequest: { case: "fileByFilename", value: "no/such.proto" } },
    });
  });
});

const buf = (...args: string[]) =>
  promisify(execFile)("node_modules/.bin/buf", [
    "curl",
    "--protocol",
    "grpc",
    "--http2-prior-knowledge",
    ...args,
  ]);

describe("buf curl without a schema", () => {
  test.each(["grpc-v1", "grpc-v1alpha"])(
    "lists and calls the methods, by reflection %s",
    async (protocol) => {
      await using server = await startReflection();
      const url = `http://127.0.0.1:${server.port}`;
      const listed = await buf("--reflect-protocol", protocol, "--list-methods", url);
      expect(listed.stdout).toContain("callsheet.v1.BatchJobService/CreateBatchJob\n");
      const called = await buf(
        "--reflect-protocol",
        protocol,
        "-d",
        "{}",
        `${url}/callsheet.v1.BatchJobService/ListBatchJobs`,
      );
      expect(JSON.parse(called.stdout)).toEqual({ batchJobs: [{ name: "a job" }] });
    },
  );
});
