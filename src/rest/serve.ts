import type { IncomingMessage, ServerResponse } from "node:http";
import { create, type Message } from "@bufbuild/protobuf";
import { type ConnectError, createMethodImplSpec, type HandlerContext } from "@connectrpc/connect";
import { BatchJobError } from "../domain/batch-job-error.ts";
import { toConnectError } from "../rpc/errors.ts";
import { maybeCallerOf } from "../rpc/gate/gate.ts";
import type { OpenDoor } from "../rpc/http/pages/door.ts";
import { contactsFileName, writeFile } from "../rpc/http/download.ts";
import { composeMethod } from "../rpc/calls/invoke.ts";
import { interceptorsOf, openPlainCall } from "../rpc/http/plain-call.ts";
import { createLargeTurns } from "../rpc/requests/large-turns.ts";
import { asConnectError } from "../rpc/calls/last-resort.ts";
import type { ListenerOptions } from "../rpc/listener.ts";
import { createBytesInHand, heapShare } from "../rpc/requests/bytes-in-hand.ts";
import { type Asked, failure, toFailure } from "./errors.ts";
import { authorizationOf, readRequest, wrongType } from "./request.ts";
import type { Answered, Deps, FileRoute, JsonRoute, Prepared, PreparedFile, Route } from "./route.ts";
import { routes } from "./routes.ts";
import { sendAnswer, sendFailure } from "./send.ts";
import { createTable, isOurs, servedPaths } from "./table.ts";

type RestOptions = ListenerOptions & {
  readonly deps: Deps;
  /** What nobody expected as it is answered; it is logged there. */
  readonly translate: (thrown: unknown) => ConnectError;
};

/** The published paths, in front of the same gate and inside of the same interceptors as the RPCs. */
export function createRest(options: RestOptions): OpenDoor {
  const { deps, translate, refused = () => {} } = options;
  const { bytesInHand = createBytesInHand({ maxBytes: heapShare() }), largeTurns = createLargeTurns() } =
    options;
  const find = createTable(routes);

  /** The error that a call ends with, as it may be seen. */
  function toSeen(thrown: unknown, { signal }: HandlerContext): ConnectError {
    if (thrown instanceof BatchJobError) return toConnectError(thrown);
    return signal.aborted ? asConnectError(thrown, signal) : translate(thrown);
  }

  return (calls) => {
    const interceptors = interceptorsOf(options, calls);

    async function invoke(row: JsonRoute, context: HandlerContext, prepared: Prepared): Promise<Answered> {
      let answered: Answered | undefined;
      const spec = createMethodImplSpec(row.rpc, async () => {
        answered = await prepared.answer(deps, context);
        return create(row.rpc.output);
      });
      await composeMethod(spec, interceptors)(context, only(prepared.message));
      if (answered === undefined) throw new Error(`${row.name} was not answered`);
      return answered;
    }

    function invokeFile(row: FileRoute, context: HandlerContext, prepared: PreparedFile) {
      const spec = createMethodImplSpec(row.rpc, (_, inner) => prepared.pieces(deps, inner));
      return composeMethod(spec, interceptors)(context, only(prepared.message));
    }

    async function call(
      { row, batchJobId, settled }: { row: Route; batchJobId: string; settled: () => void },
      request: IncomingMessage,
      response: ServerResponse,
    ) {
      const authorization = authorizationOf(request);
      const arrived = { options, calls, settled, authorization };
      const { context, enter, unlessOver } = openPlainCall(row.rpc, request, response, arrived);
      const { values } = context;
      const organizationId = () => maybeCallerOf({ contextValues: values })?.organizationId;
      const hold = bytesInHand.hold(organizationId);
      const turn = (bytes: number) => largeTurns.take(bytes, organizationId());
      response.once("close", hold.release);
      let asked: Asked = {};
      try {
        await enter();
        const given = await readRequest(request, response, { row, batchJobId, context, hold, turn });
        if (row.kind === "file") {
          const result = await unlessOver(invokeFile(row, context, await row.prepare(given)));
          return await writeFile(response, result, { fileName: contactsFileName(batchJobId), unlessOver });
        }
        const prepared = await row.prepare(given);
        asked = prepared.asked;
        const answered = await invoke(row, context, prepared);
        sendAnswer(response, answered, { header: context.responseHeader, hold });
      } catch (thrown) {
        const error = toSeen(thrown, context);
        refused(context, error);
        sendFailure(response, toFailure(error, asked), error.metadata);
      }
    }

    return {
      paths: servedPaths(routes),
      takes: isOurs,
      authorizationOf,
      async answer(request, response, settled) {
        const { method = "", url = "" } = request;
        const found = find(url.split("?", 1)[0] ?? "");
        if (found === undefined)
          return sendFailure(response, failure(404, "not_found", "There is nothing at this path."));
        const allow = [...found.methods.keys(), "OPTIONS"].join(", ");
        if (method === "OPTIONS") return void response.writeHead(204, { allow }).end();
        const row = found.methods.get(method);
        if (row === undefined) {
          const headers = { allow };
          return sendFailure(
            response,
            failure(405, "method_not_allowed", `Use one of ${allow} here.`, { headers }),
          );
        }
        const unsupported = wrongType(row, request);
        if (unsupported !== undefined) return sendFailure(response, unsupported);
        await call({ row, batchJobId: found.batchJobId, settled }, request, response);
      },
    };
  };
}

async function* only(message: Message) {
  yield message;
}
