import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import type { JobStatus } from "../../src/domain/jobs/batch-job.ts";
import { ensureOrganization } from "../../src/postgres/api-keys.ts";
import { makeWholeJob } from "../support/make.ts";
import { startParts } from "../support/parts.ts";
import { startTestService } from "../support/service.ts";

export type Ask = {
  query?: Record<string, string> | string;
  /** Whatever fetch takes; an object is sent as JSON. */
  body?: RequestInit["body"] | object;
  headers?: Record<string, string>;
  key?: string;
};

export type Reply = { status: number; body: Record<string, unknown>; headers: Headers };

/** The service with its paths, and jobs in any status in the organization of its key. */
export async function startApi(options: { logger?: Logger } = {}) {
  await using stack = new AsyncDisposableStack();
  const service = stack.use(await startTestService(options));
  const { db } = service;
  const parts = stack.use(await startParts({ beside: service }));
  const organizationId = await ensureOrganization(db, "default");
  const maker = { ...parts, caller: { ...parts.caller, organizationId } };
  const running = stack.move();

  async function send(method: string, path: string, ask: Ask = {}): Promise<Response> {
    const { query = "", body, headers = {}, key = service.apiKey } = ask;
    const search = typeof query === "string" ? query : new URLSearchParams(query).toString();
    const isPlain =
      typeof body === "object" && body !== null && Object.getPrototypeOf(body) === Object.prototype;
    return await fetch(`${service.httpUrl}${path}${search === "" ? "" : `?${search}`}`, {
      method,
      headers: {
        ...(key !== "" && { authorization: `Bearer ${key}` }),
        ...(isPlain && { "content-type": "application/json" }),
        ...headers,
      },
      ...(body !== undefined && { body: isPlain ? JSON.stringify(body) : (body as RequestInit["body"]) }),
    } as RequestInit);
  }

  return {
    ...service,
    db,
    parts,
    organizationId,
    maker,
    /** A job of three contacts in this status. */
    jobIn: (status: JobStatus, more: { contacts?: number; dialing?: number } = {}) =>
      makeWholeJob(maker, { status, ...more }),
    send,
    /** How many calls of an RPC have ended with this code. */
    async ended(rpc: string, code: string): Promise<number> {
      const lines = await (await fetch(`${service.httpUrl}/metrics`)).text();
      const labels = `{method="callsheet.v1.BatchJobService/${rpc}",code="${code}"} `;
      return Number(lines.split(`callsheet_rpcs_total${labels}`)[1]?.split("\n", 1)[0] ?? 0);
    },
    /** Sends a request whose answer is JSON. */
    async ask(method: string, path: string, asked: Ask = {}): Promise<Reply> {
      const response = await send(method, path, asked);
      const text = await response.text();
      return {
        status: response.status,
        headers: response.headers,
        body: text === "" ? {} : (JSON.parse(text) as Record<string, unknown>),
      };
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

export type Api = Awaited<ReturnType<typeof startApi>>;

/** An id that no job has. */
export const noJob = randomUUID();

/** What every refusal has. */
export const refusedAs = (status: number, code: string, detail: unknown, error: unknown) => ({
  status,
  body: { success: false, code, detail, error },
});
