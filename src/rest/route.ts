import { type DescMethodUnary, type MessageInitShape, type MessageShape, create } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import type { z } from "zod";
import type { Role } from "../domain/caller.ts";
import type { BatchJobService } from "../gen/callsheet/v1/batch_job_service_pb.ts";
import type { BatchJobs } from "../jobs/batch-jobs.ts";
import type { ExportContacts } from "../jobs/export/contact-export.ts";
import type { Asked } from "./errors.ts";
import { parseTexts } from "./input.ts";

/** What routes answer with. */
export type Deps = {
  readonly jobs: BatchJobs;
  readonly exportContacts: ExportContacts;
  /** What a call is reckoned to last. */
  readonly estimatedCallMs: number;
};

export type Answered = { readonly body: object; readonly revision?: number };

/** What came, as far as it needs no schema. */
export type Given = {
  readonly batchJobId: string;
  readonly requestId: string;
  readonly expectedRevision: bigint | undefined;
  readonly query: Iterable<[string, string]>;
  readonly contentType: string;
  readonly bytes: Uint8Array;
};

type Read = {
  /** The same as a request of the route's RPC, whose rules judge it. */
  readonly message: MessageShape<DescMethodUnary["input"]>;
  readonly asked: Asked;
};

/** A call that has been read. */
export type Prepared = Read & { answer(deps: Deps, context: HandlerContext): Promise<Answered> };

/** One that is answered with a file. */
export type PreparedFile = Read & {
  pieces(deps: Deps, context: HandlerContext): AsyncIterable<{ csv: Uint8Array }>;
};

type FileRpc = typeof BatchJobService.method.exportContacts;

/** A body that a route takes: its media type, and its schema in the document. */
export type Body = { readonly type: string; readonly schema: z.ZodType };

type Row = {
  /** Its name in the document. */
  readonly name: string;
  readonly summary: string;
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  /** The first one is in the document; each is also there under /v1. */
  readonly paths: readonly string[];
  /** Besides admin; as the RPC says. */
  readonly roles: readonly Role[];
  readonly query: z.ZodObject;
  readonly bodies: readonly Body[];
  /** Of a body; if not given, as much as a request of the RPC may have. */
  readonly maxBytes?: number;
  readonly answer: z.ZodType;
};

/** `rpc` is what it stands for, whose roles and limits it has, and under whose name it is counted and logged. */
export type JsonRoute = Row & {
  readonly kind: "JSON";
  readonly rpc: DescMethodUnary;
  prepare(given: Given): Promise<Prepared>;
};

export type FileRoute = Row & {
  readonly kind: "file";
  readonly rpc: FileRpc;
  prepare(given: Given): Promise<PreparedFile>;
};

export type Route = JsonRoute | FileRoute;

/** A row of the table: what is asked as a message of the RPC, and what answers it. */
export function route<R extends DescMethodUnary, Q extends z.ZodObject, A extends object, B>(row: {
  name: string;
  summary: string;
  method: Row["method"];
  paths: readonly string[];
  rpc: R;
  roles: readonly Role[];
  query: Q;
  bodies?: readonly Body[];
  maxBytes?: number;
  answer: z.ZodType<A>;
  /** For routes with a body. */
  read?: (given: Given) => Promise<B>;
  command?: string;
  toRequest(given: Given, asked: { query: z.output<Q>; body: B | undefined }): MessageInitShape<R["input"]>;
  run(
    deps: Deps,
    call: {
      message: MessageShape<R["input"]>;
      context: HandlerContext;
      query: z.output<Q>;
      body: B | undefined;
    },
  ): Promise<{ body: NoInfer<A>; revision?: number }>;
}): JsonRoute {
  return {
    kind: "JSON",
    ...row,
    bodies: row.bodies ?? [],
    async prepare(given) {
      const query = parseTexts(row.query, given.query);
      const body = await row.read?.(given);
      const message = create(row.rpc.input, row.toRequest(given, { query, body })) as MessageShape<
        R["input"]
      >;
      const { timezone }: { timezone?: unknown } = message as object;
      return {
        message,
        asked: { command: row.command, timezone: typeof timezone === "string" ? timezone : "" },
        answer: (deps, context) => row.run(deps, { message, context, query, body }),
      };
    },
  };
}

/** A row of the table that answers with a file. */
export const fileRoute = <B>(
  row: Omit<FileRoute, "kind" | "prepare"> & {
    read(given: Given): B;
    toRequest(given: Given, body: B): MessageInitShape<FileRpc["input"]>;
    run(
      deps: Deps,
      call: { message: MessageShape<FileRpc["input"]>; context: HandlerContext },
    ): AsyncIterable<{ csv: Uint8Array }>;
  },
): FileRoute => ({
  kind: "file",
  ...row,
  async prepare(given) {
    parseTexts(row.query, given.query);
    const message = create(row.rpc.input, row.toRequest(given, row.read(given)));
    return { message, asked: {}, pieces: (deps, context) => row.run(deps, { message, context }) };
  },
});
