import { type Client, type Interceptor, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { AccessService } from "../gen/callsheet/v1/access_service_pb.ts";
import { BatchJobService } from "../gen/callsheet/v1/batch_job_service_pb.ts";
import { EventService } from "../gen/callsheet/v1/event_service_pb.ts";
import { ContactWorkerService } from "../gen/callsheet/v1/contact_worker_service_pb.ts";
import { SuppressionService } from "../gen/callsheet/v1/suppression_service_pb.ts";
import { WebhookService } from "../gen/callsheet/v1/webhook_service_pb.ts";
import { persistent } from "./persistent.ts";

export type ClientOptions = {
  /**
   * Where the service is: its gRPC port, such as `http://127.0.0.1:50051`; for Connect its HTTP port, such as
   * `http://127.0.0.1:8080`, with its base path if it has one.
   */
  readonly url: string;
  /** `cs_…`, or a function that is asked before each try, for keys that are replaced while the program runs. */
  readonly apiKey: string | (() => string | Promise<string>);
  /** What is spoken: gRPC over HTTP/2 if not given, or Connect over HTTP/1.1. */
  readonly protocol?: "grpc" | "connect";
  /**
   * What a unary call and its repeats may take together; 30 s if not given, and what LeaseContacts asks to wait comes
   * on top. `timeoutMs` of a single call goes before it, and 0 means no end. Streams have only what their call says.
   */
  readonly timeoutMs?: number;
  /** Certificates in PEM: whom to trust beyond Node's own list, and this client's own. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** Run around each try. */
  readonly interceptors?: readonly Interceptor[];
};

/** Every service, by a short name. */
export const services = {
  jobs: BatchJobService,
  worker: ContactWorkerService,
  access: AccessService,
  events: EventService,
  suppression: SuppressionService,
  webhooks: WebhookService,
};

export type Clients = { readonly [name in keyof typeof services]: Client<(typeof services)[name]> };

/** A connection on which a call hears nothing for so long is asked whether it still is one. */
const pingIntervalMs = 20_000;

/**
 * A client for each service. They share a connection, which is made when it is needed, made anew when it breaks, and
 * keeps no program from ending. Every unary call has a deadline, gets a request id where it takes one, and comes again
 * within that deadline while the service is away, the connection breaks, or the service says when to come again.
 * Nothing is done twice by that. What a repeat answers of CreateApiKey, CreateWebhookEndpoint or RotateWebhookSecret
 * has no secret, if it was done before: a secret is told once.
 */
export function createClients(options: ClientOptions): Clients {
  const { url, apiKey, protocol = "grpc", timeoutMs = 30_000, tls = {} } = options;
  const authorize: Interceptor = (next) => async (request) => {
    request.header.set("authorization", `Bearer ${typeof apiKey === "string" ? apiKey : await apiKey()}`);
    return next(request);
  };
  const shared = {
    baseUrl: url,
    interceptors: [authorize, ...(options.interceptors ?? [])],
    nodeOptions: { ...tls },
  };
  const transport = persistent(
    protocol === "grpc"
      ? createGrpcTransport({ ...shared, pingIntervalMs })
      : createConnectTransport({ ...shared, httpVersion: "1.1" }),
    { timeoutMs },
  );
  return {
    jobs: createClient(services.jobs, transport),
    worker: createClient(services.worker, transport),
    access: createClient(services.access, transport),
    events: createClient(services.events, transport),
    suppression: createClient(services.suppression, transport),
    webhooks: createClient(services.webhooks, transport),
  };
}
