import { Resolver } from "node:dns/promises";
import { type ClientRequest, Agent as HttpAgent, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import { isIP } from "node:net";
import type { SendFailure } from "../domain/send-failure.ts";
import { afterPatience } from "../timing/patience.ts";
import { type ConnectPolicy, mayConnect } from "./addresses.ts";
import { createCheckedLookup, type NameServers } from "./checked-lookup.ts";
import { hostOf } from "./endpoint-url.ts";
import { type Exchange, exchange } from "./exchange.ts";
import { readRetryAfterMs } from "./retry-times.ts";
import { NotSent } from "./not-sent.ts";
import { signature } from "./signing.ts";

export type { SendFailure } from "../domain/send-failure.ts";

export type SendRequest = {
  readonly url: string;
  /** The same in each attempt. */
  readonly id: string;
  /** All of them sign. */
  readonly secrets: readonly string[];
  /** JSON. */
  readonly body: string;
  /** W3C's, of what its receiver may go on from. */
  readonly traceparent?: string | undefined;
  readonly signal?: AbortSignal;
};

/** What came of one attempt. */
export type Sent = {
  /** Undefined without an answer. */
  readonly status: number | undefined;
  /** Undefined if it was received. */
  readonly failure: SendFailure | undefined;
  readonly durationMs: number;
  /** How the body of the answer begins. */
  readonly answer: string;
  readonly retryAfterMs: number | undefined;
};

export type Sender = {
  /** Makes one attempt, whatever the receiver does; rejects only with the reason of the signal. */
  send(request: SendRequest): Promise<Sent>;
  /** Ends the connections that are kept; nothing may be on its way any more. */
  close(): Promise<void>;
};

/** Connections are kept for less than receivers and what stands before them keep theirs, which is 5 s or more. */
const keptMs = 4_000;
const mostKeptPerHost = 16;

/** Per address of a name, while there are more. */
const connectMs = 2_000;

/** Two tries end well within an attempt. */
const ownNameServers = (): NameServers => new Resolver({ timeout: 2_000, tries: 2 });

/** Sends to receivers, over connections that are kept and were made to addresses that were checked. */
export function createSender(
  policy: ConnectPolicy,
  {
    nameServers = ownNameServers(),
    timeoutMs = 15_000,
    nowMs = Date.now,
  }: { nameServers?: NameServers; timeoutMs?: number; nowMs?: () => number } = {},
): Sender {
  const optionsFor = (protocol: string) => ({
    keepAlive: true,
    timeout: keptMs,
    maxFreeSockets: mostKeptPerHost,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: connectMs,
    lookup: createCheckedLookup(protocol, policy, nameServers),
  });
  const httpAgent = new HttpAgent(optionsFor("http:"));
  const httpsAgent = new HttpsAgent(optionsFor("https:"));

  function open(url: URL, { id, secrets, body, traceparent }: SendRequest): ClientRequest {
    const timestampSeconds = Math.floor(nowMs() / 1_000);
    const options = {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
        "user-agent": "Callsheet",
        "webhook-id": id,
        "webhook-timestamp": timestampSeconds,
        "webhook-signature": signature(secrets, id, timestampSeconds, body),
        ...(traceparent === undefined ? {} : { traceparent }),
      },
    };
    return url.protocol === "https:"
      ? requestHttps(url, { ...options, agent: httpsAgent })
      : requestHttp(url, { ...options, agent: httpAgent });
  }

  async function attempt(request: SendRequest, until: AbortSignal): Promise<Omit<Exchange, "isStale">> {
    const url = new URL(request.url);
    // Nobody looks up an address.
    if (isIP(hostOf(url)) !== 0 && !mayConnect(hostOf(url), url.protocol, policy))
      return { status: undefined, failure: "address_blocked", answer: "", retryAfter: undefined };
    for (;;) {
      const { isStale, ...came } = await exchange(open(url, request), request.body, until);
      if (!isStale || until.aborted) return came;
    }
  }

  return {
    async send(request) {
      request.signal?.throwIfAborted();
      const begunMs = performance.now();
      const over = new AbortController();
      const callOff = afterPatience(timeoutMs, () => over.abort(new NotSent("timeout")));
      const giveUp = () => over.abort(request.signal?.reason);
      request.signal?.addEventListener("abort", giveUp);
      try {
        const { retryAfter, ...came } = await attempt(request, over.signal);
        if (came.failure !== undefined) request.signal?.throwIfAborted();
        const durationMs = Math.round(performance.now() - begunMs);
        return { ...came, durationMs, retryAfterMs: readRetryAfterMs(retryAfter, nowMs()) };
      } finally {
        callOff();
        request.signal?.removeEventListener("abort", giveUp);
      }
    },
    async close() {
      httpAgent.destroy();
      httpsAgent.destroy();
    },
  };
}
