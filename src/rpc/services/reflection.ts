import {
  createRegistry,
  toBinary,
  type DescEnum,
  type DescExtension,
  type DescFile,
  type DescMessage,
  type DescService,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import {
  ServerReflection,
  type ServerReflectionRequest as Request,
} from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import {
  ServerReflection as ServerReflectionAlpha,
  type ServerReflectionRequest as RequestAlpha,
} from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.ts";
import { file_google_rpc_status } from "../../gen/google/rpc/status_pb.ts";
import { serviceEntry, type ServiceEntry, type ServiceTable } from "./service-table.ts";

/**
 * grpc.reflection.v1 and v1alpha, which differ in nothing but their names, over the services of a table, themselves and
 * the details of errors, which no method names. For the gRPC listener only: they are streams in both directions.
 */
export function reflectionEntries(services: ServiceTable): ServiceEntry[] {
  const described = [...services.map((entry) => entry.service), ServerReflection, ServerReflectionAlpha];
  const answer = createAnswer(described);
  async function* serverReflectionInfo<R extends Request | RequestAlpha>(requests: AsyncIterable<R>) {
    for await (const request of requests) {
      yield {
        validHost: request.host,
        originalRequest: request,
        messageResponse: answer(request.messageRequest),
      };
    }
  }
  return [
    serviceEntry(ServerReflection, { serverReflectionInfo }),
    serviceEntry(ServerReflectionAlpha, { serverReflectionInfo }),
  ];
}

/** Finds what a request asks for; what is not there is an answer too, and the stream goes on. */
function createAnswer(services: readonly DescService[]) {
  const named = [...services.map(({ file }) => file), file_google_rpc_status, file_google_rpc_error_details];
  const files = new Map(named.flatMap(closure).map((file) => [file.proto.name, file]));
  const types = [...createRegistry(...files.values())];
  const symbols = new Map(
    types.flatMap((type) => symbolsOf(type).map((symbol) => [symbol, type.file] as const)),
  );
  const extensionsOf = (extendee: string) =>
    types.filter((type) => type.kind === "extension").filter((type) => type.extendee.typeName === extendee);

  return (request: Request["messageRequest"] | RequestAlpha["messageRequest"]) => {
    switch (request.case) {
      case "listServices":
        return {
          case: "listServicesResponse" as const,
          value: { service: services.map(({ typeName }) => ({ name: typeName })) },
        };
      case "fileByFilename":
        return fileResponse(files.get(request.value), `file ${request.value}`);
      case "fileContainingSymbol":
        return fileResponse(symbols.get(request.value), `symbol ${request.value}`);
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = request.value;
        const extension = extensionsOf(containingType).find(({ number }) => number === extensionNumber);
        return fileResponse(extension?.file, `extension ${extensionNumber} of ${containingType}`);
      }
      case "allExtensionNumbersOfType": {
        if (!types.some((type) => type.kind === "message" && type.typeName === request.value)) {
          return errorResponse(Code.NotFound, `there is no message ${request.value} here`);
        }
        const extensionNumber = extensionsOf(request.value).map(({ number }) => number);
        return {
          case: "allExtensionNumbersResponse" as const,
          value: { baseTypeName: request.value, extensionNumber },
        };
      }
      default:
        return errorResponse(Code.InvalidArgument, "the request asks for nothing");
    }
  };
}

const fileResponse = (file: DescFile | undefined, what: string) =>
  file
    ? {
        case: "fileDescriptorResponse" as const,
        value: {
          fileDescriptorProto: closure(file).map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto)),
        },
      }
    : errorResponse(Code.NotFound, `there is no ${what} here`);

const errorResponse = (errorCode: number, errorMessage: string) => ({
  case: "errorResponse" as const,
  value: { errorCode, errorMessage },
});

/** A file and all that it imports, each once and before those that it imports itself. */
function closure(file: DescFile): DescFile[] {
  const found = new Set<DescFile>();
  const add = (next: DescFile) => {
    if (found.has(next)) return;
    next.dependencies.forEach(add);
    found.add(next);
  };
  add(file);
  return [...found].toReversed();
}

function symbolsOf(type: DescMessage | DescEnum | DescExtension | DescService): string[] {
  const inside = (members: readonly { name: string }[]) =>
    members.map(({ name }) => `${type.typeName}.${name}`);
  switch (type.kind) {
    case "message":
      return [type.typeName, ...inside(type.fields), ...inside(type.oneofs)];
    case "service":
      return [type.typeName, ...inside(type.methods)];
    case "enum":
      // Values live beside their enum, not in it.
      return [type.typeName, ...type.values.map(({ name }) => type.typeName.replace(/[^.]+$/, name))];
    case "extension":
      return [type.typeName];
  }
}
