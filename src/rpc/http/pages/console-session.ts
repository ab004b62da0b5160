import type { IncomingMessage, ServerResponse } from "node:http";
import { type DescMessage, create, toJson } from "@bufbuild/protobuf";
import { BatchJobError } from "../../../domain/batch-job-error.ts";
import { isApiKey, keyIn } from "../../../domain/api-key.ts";
import {
  AccessService,
  type WhoAmIResponse,
  WhoAmIRequestSchema,
} from "../../../gen/callsheet/v1/access_service_pb.ts";
import { Role } from "../../../gen/callsheet/v1/options_pb.ts";
import type { CallsInHand } from "../../calls/calls-in-hand.ts";
import { toConnectError } from "../../errors.ts";
import type { ListenerOptions } from "../../listener.ts";
import { sendText } from "./pages.ts";
import type { Answerer } from "../paths.ts";
import { invokerOf, openPlainCall } from "../plain-call.ts";

/** Where the console signs in and out. */
export const sessionPath = "/session";

const cookieName = "callsheet_session";

/**
 * A page of another origin cannot send this header: its browser asks first whether it may, and is never told so
 * (cors.ts). So the browser may add the cookie to what others have it send, and nothing comes of it.
 */
const proofHeader = "x-callsheet-console";

/**
 * Has a request of the console count as one under the key that it signed in with. The browser keeps that key in a
 * cookie, out of reach of every script; a replica keeps nothing, so that any of them answers, and a key that is revoked
 * ends its sessions.
 */
export function readSession({ headers }: IncomingMessage): void {
  if (headers.authorization !== undefined || headers["x-api-key"] !== undefined) return;
  const key = isProven(headers) ? keyInCookie(headers.cookie) : undefined;
  if (key !== undefined) headers.authorization = `Bearer ${key}`;
}

/** Where the browser says from which site a request comes, it must be this one. */
const isProven = (headers: IncomingMessage["headers"]): boolean =>
  headers[proofHeader] !== undefined && (headers["sec-fetch-site"] ?? "same-origin") === "same-origin";

function keyInCookie(cookies = ""): string | undefined {
  const named = cookies.split(";").map((cookie) => cookie.trim().split("=", 2));
  const [, key] = named.find(([name]) => name === cookieName) ?? [];
  return key !== undefined && isApiKey(key) ? key : undefined;
}

const { whoAmI } = AccessService.method;

const forWorkersOnly = () =>
  toConnectError(
    new BatchJobError(
      "permission_denied",
      "A key with the role worker opens no console; sign in with one with a role of admin, operator, viewer.",
      { role: "worker", allowedRoles: "admin,operator,viewer" },
    ),
  );

/**
 * `POST /session` under a key as a call of WhoAmI, whose answer sets the cookie; `DELETE /session` takes it away. The
 * cookie goes when the browser is closed.
 */
export function createSessions(
  options: ListenerOptions & { readonly basePath?: string },
  calls: CallsInHand,
): Answerer {
  const { basePath = "", certificates } = options;
  const found = invokerOf(whoAmI, options, calls);

  function setCookie(request: IncomingMessage, response: ServerResponse, value: string, more = ""): void {
    const isSecure = certificates !== undefined || request.headers["x-forwarded-proto"] === "https";
    const attributes = `Path=${basePath}/; HttpOnly; SameSite=Strict${isSecure ? "; Secure" : ""}${more}`;
    response.setHeader("set-cookie", `${cookieName}=${value}; ${attributes}`);
  }

  async function signIn(
    invoke: NonNullable<typeof found>,
    request: IncomingMessage,
    response: ServerResponse,
    settled: () => void,
  ): Promise<void> {
    const call = openPlainCall(whoAmI, request, response, { options, calls, settled });
    try {
      await call.enter();
      const result = await call.unlessOver(invoke(call.context, only()));
      if (result.stream) throw new Error("WhoAmI is no stream");
      const caller = result.message as WhoAmIResponse;
      if (caller.role === Role.WORKER) throw forWorkersOnly();
      setCookie(request, response, keyIn(request.headers.authorization) ?? "");
      const body = JSON.stringify(toJson(whoAmI.output as DescMessage, caller, { alwaysEmitImplicit: true }));
      response.setHeaders(result.header).writeHead(200, { "content-type": "application/json" }).end(body);
    } catch (thrown) {
      call.refuse(thrown);
    }
  }

  if (found === undefined) return { paths: [], answer: () => undefined };
  return {
    paths: [
      { method: "POST", path: sessionPath, rpc: whoAmI },
      { method: "DELETE", path: sessionPath },
    ],
    answer(request, response, settled) {
      const { method } = request;
      if (method !== "POST" && method !== "DELETE") {
        response.setHeader("allow", "POST, DELETE");
        return Promise.resolve(sendText(response, 405, "Sign in here with POST, or out with DELETE."));
      }
      if (!isProven(request.headers)) {
        return Promise.resolve(
          sendText(response, 403, `Only the console signs in here; it sends the header ${proofHeader}.`),
        );
      }
      if (method === "POST") return signIn(found, request, response, settled);
      setCookie(request, response, "", "; Max-Age=0");
      response.writeHead(204).end();
      return Promise.resolve();
    },
  };
}

async function* only() {
  yield create(WhoAmIRequestSchema);
}
