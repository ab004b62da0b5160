import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { z } from "zod";
import type { Route } from "../route.ts";
import { failureAnswer, named } from "./schemas.ts";

type Json = Record<string, unknown>;

const inComponents = (id: string): string => `#/components/schemas/${id}`;

/** A schema in the document: those that have a name are referred to by it. */
function toSchema(schema: z.ZodType, io: "input" | "output"): Json {
  const id = named.get(schema)?.id;
  if (id !== undefined) return { $ref: inComponents(id) };
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io, metadata: z.globalRegistry });
  return rest;
}

/** Of answers it is what they have at least, and of requests what they may have. */
function components(): Json {
  const byIo = (["input", "output"] as const).map(
    (io) => z.toJSONSchema(named, { io, uri: inComponents }).schemas,
  );
  const [given = {}, answered = {}] = byIo;
  return Object.fromEntries(
    Object.keys(answered).map((id) => {
      const isRequest = /(?:Body|Form|Input)$/.test(id);
      const {
        $schema: _dialect,
        $id: _id,
        id: _name,
        ...schema
      } = ((isRequest ? given : answered)[id] ?? {}) as Json;
      return [id, schema];
    }),
  );
}

const failures: Readonly<Record<number, string>> = {
  400: "Refused, for the reason in `code`.",
  401: "The API key is missing or not valid.",
  403: "The key's role may not do this.",
  404: "There is no such job in the key's organization.",
  408: "The body took too long to arrive.",
  409: "The job has another revision than `If-Match` says.",
  413: "The body is too large.",
  415: "The body has a type that is not taken here.",
  429: "Too much at once; `Retry-After` says when to ask again.",
  503: "The service cannot answer now; `Retry-After` says when to ask again.",
};

const json = (schema: Json) => ({ "application/json": { schema } });

const file = (row: Route) => ({
  description: "The file.",
  headers: {
    "Content-Disposition": { description: "Its name.", schema: { type: "string" } },
  },
  content: { "text/csv": { schema: toSchema(row.answer, "output") } },
});

const failureResponse = (description: string) => ({
  description,
  content: json(toSchema(failureAnswer, "output")),
});

const batchJobId = {
  name: "batch_job_id",
  in: "path",
  required: true,
  description: "The job's id.",
  schema: { type: "string" },
};

const header = (name: string, description: string, schema: Json) => ({
  name,
  in: "header",
  required: false,
  description,
  schema: { type: "string", ...schema },
});

const idempotencyKey = header(
  "Idempotency-Key",
  "Makes the call safe to repeat for 24 hours: the same key with the same request does nothing twice.",
  { maxLength: 64 },
);
const ifMatch = header("If-Match", "The revision, in quotes, that the job must have.", {
  examples: ['"7"'],
});

const isRead = ({ rpc }: Route): boolean =>
  rpc.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;

function parameters(row: Route, path: string): Json[] {
  const isCommand = !isRead(row);
  const isOnJob = path.includes("{batch_job_id}");
  const query = Object.entries(row.query.shape).map(([name, schema]) => {
    const { description, ...rest } = toSchema(schema as z.ZodType, "input");
    return {
      name,
      in: "query",
      required: !(schema as z.ZodType).safeParse(undefined).success,
      ...(description !== undefined && { description }),
      schema: rest,
    };
  });
  return [
    ...(isOnJob ? [batchJobId] : []),
    ...query,
    ...(isCommand ? [idempotencyKey] : []),
    ...(isCommand && isOnJob ? [ifMatch] : []),
  ];
}

function toOperation(row: Route, path: string): Json {
  const isOnJob = path.includes("{batch_job_id}");
  const hasBody = row.bodies.length > 0;
  const codes = Object.entries(failures).filter(
    ([code]) =>
      (isOnJob || !["404", "409"].includes(code)) &&
      (!isRead(row) || code !== "409") &&
      (row.method !== "GET" || !["408", "413", "415"].includes(code)),
  );
  return {
    operationId: row.name,
    summary: row.summary,
    tags: ["Batch jobs"],
    parameters: parameters(row, path),
    ...(hasBody && {
      requestBody: {
        required: true,
        content: Object.fromEntries(
          row.bodies.map(({ type, schema }) => [type, { schema: toSchema(schema, "input") }]),
        ),
      },
    }),
    responses: {
      200:
        row.kind === "file"
          ? file(row)
          : { description: "Done.", content: json(toSchema(row.answer, "output")) },
      ...Object.fromEntries(codes.map(([code, description]) => [code, failureResponse(description)])),
      default: failureResponse("Anything else that goes wrong."),
    },
  };
}

/** The routes as OpenAPI 3.1; of several paths of a route the first. */
export function toDocument(rows: readonly Route[], basePath = ""): Json {
  const paths: Record<string, Json> = {};
  for (const row of rows) {
    const path = (row.paths[0] ?? "").replaceAll(/:(\w+)/g, "{$1}");
    paths[path] = { ...paths[path], [row.method.toLowerCase()]: toOperation(row, path) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Callsheet",
      version: "1.0.0",
      description:
        "The published HTTP paths of Callsheet. Each also answers under `/v1`. What else Callsheet can do is called as JSON over Connect, or with gRPC.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: basePath || "/", description: "This service." }],
    tags: [{ name: "Batch jobs", description: "Jobs, their contacts and their starts." }],
    security: [{ bearer: [] }, { apiKey: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", description: "An API key, `cs_…`." },
        apiKey: { type: "apiKey", in: "header", name: "x-api-key" },
      },
      schemas: components(),
    },
  };
}
