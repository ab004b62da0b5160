import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { request } from "node:https";
import { once } from "node:events";
import { Code, ConnectError, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { credentials } from "@grpc/grpc-js";
import { afterAll, describe, expect, test } from "vitest";
import { readNetworks } from "../src/domain/networks.ts";
import { freePort } from "../src/embedded/server-process.ts";
import { BatchJobStatus } from "../src/gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { ErrorInfoSchema } from "../src/gen/google/rpc/error_details_pb.ts";
import { ServerReflection } from "../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { createGrpcJsTransport } from "./rpc/grpc-js-transport.ts";
import { createAuthority } from "./support/authority.ts";
import { findDebianProgram, type Program, startProgram } from "./support/debian-program.ts";
import { eventually } from "./support/eventually.ts";
import { makeContacts } from "./support/make.ts";
import { readDocument } from "./support/readme.ts";
import { startTestService } from "./support/service.ts";

const proxiesDocument = readDocument("docs/proxies.md");

type Ports = { readonly http: number; readonly grpc: number };

const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());
const directory = await mkdtemp(join(tmpdir(), "callsheet-proxies-"));
stack.defer(() => rm(directory, { recursive: true, force: true }));

// One certificate serves the proxies, the service and, in front of it, as a client's.
const authority = await createAuthority();
const { cert, key } = await authority.issue();
const [certFile, keyFile, caFile] = ["localhost.crt", "localhost.key", "ca.pem"].map((name) =>
  join(directory, name),
) as [string, string, string];
await Promise.all([
  writeFile(certFile, cert),
  writeFile(keyFile, key),
  writeFile(join(directory, "localhost.pem"), `${cert}\n${key}`),
  writeFile(caFile, authority.cert),
]);
const ca = Buffer.from(authority.cert);

const inPlainText = stack.use(await startTestService());
/** One that speaks TLS, under a path, with nobody but who has a certificate, and trusts what the proxy says. */
const secured = stack.use(
  await startTestService({
    tls: { certFile, keyFile, clientCaFile: caFile },
    basePath: "/callsheet",
    trustedProxies: readNetworks("127.0.0.0/8"),
  }),
);
type Service = typeof secured;

const portOf = (url: string): string => new URL(url).port;

/** A configuration of the document with other ports and another certificate. */
const adapted = (text: string, ports: Ports, { httpUrl, grpcUrl }: Service) =>
  text
    .replaceAll("8443", String(ports.http))
    .replaceAll("50443", String(ports.grpc))
    .replaceAll("8080", portOf(httpUrl))
    .replaceAll("50051", portOf(grpcUrl))
    .replaceAll("/etc/callsheet/ca.pem", caFile)
    .replaceAll("/etc/callsheet/tls.crt", join(directory, "localhost.crt"))
    .replaceAll("/etc/callsheet/tls.key", join(directory, "localhost.key"))
    .replaceAll("/etc/callsheet/tls.pem", join(directory, "localhost.pem"));

/** What nginx has around the part that the document shows. */
const nginxAround = (inside: string) => {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${join(directory, name)};`,
  );
  return [
    "daemon off;",
    "error_log stderr;",
    `pid ${join(directory, `nginx-${randomUUID()}.pid`)};`,
    "events { }",
    `http { access_log off; ${temporary.join(" ")}`,
    inside,
    "}",
  ].join("\n");
};

type Proxy = { service: Service; start(program: Program, ports: Ports): Promise<AsyncDisposable> };

const nginxAs = (heading: string, service: Service) => ({
  wanted: { packageName: "nginx", file: "usr/sbin/nginx", versionFlag: "-v" },
  service,
  async start(program: Program, ports: Ports) {
    const file = join(directory, `nginx-${portOf(service.httpUrl)}.conf`);
    await writeFile(file, nginxAround(adapted(proxiesDocument.code(heading, "nginx"), ports, service)));
    return startProgram(program, ["-e", "stderr", "-c", file]);
  },
});

const haproxyConfig = proxiesDocument.code("## HAProxy", "haproxy");
const haproxyBackends = proxiesDocument.code("## TLS as far as Callsheet", "haproxy");

const haproxyAs = (config: string, service: Service) => ({
  wanted: { packageName: "haproxy", file: "usr/sbin/haproxy", versionFlag: "-v" },
  service,
  async start(program: Program, ports: Ports) {
    const file = join(directory, `haproxy-${portOf(service.httpUrl)}.cfg`);
    await writeFile(file, `${adapted(config, ports, service)}\n`);
    return startProgram(program, ["-db", "-f", file]);
  },
});

const proxies: Record<string, { wanted: Parameters<typeof findDebianProgram>[0] } & Proxy> = {
  nginx: nginxAs("## nginx", inPlainText),
  "nginx with TLS as far as the service": nginxAs("## TLS as far as Callsheet", secured),
  HAProxy: haproxyAs(haproxyConfig, inPlainText),
  "HAProxy with TLS as far as the service": haproxyAs(
    [...haproxyConfig.split("\n\n").filter((part) => !part.startsWith("backend ")), haproxyBackends].join(
      "\n\n",
    ),
    secured,
  ),
};

const withKey =
  ({ apiKey }: Service): Interceptor =>
  (next) =>
  (call) => {
    call.header.set("authorization", `Bearer ${apiKey}`);
    return next(call);
  };

/** What all paths of the HTTP port begin with. */
const pathOf = ({ httpUrl }: Service): string => new URL(httpUrl).pathname.replace(/\/$/, "");

/** Clients that speak TLS with the proxy. */
function transportsTo(ports: Ports, service: Service): Record<string, Transport> {
  const http = `https://localhost:${ports.http}${pathOf(service)}`;
  const grpc = `https://localhost:${ports.grpc}`;
  const interceptors = [withKey(service)];
  const nodeOptions = { ca };
  return {
    "grpc-js": createGrpcJsTransport(`localhost:${ports.grpc}`, {}, credentials.createSsl(ca)),
    "connect-node gRPC": createGrpcTransport({ baseUrl: grpc, nodeOptions, interceptors }),
    "Connect over HTTP/1.1": createConnectTransport({
      baseUrl: http,
      httpVersion: "1.1",
      nodeOptions,
      interceptors,
    }),
    "Connect over HTTP/2": createConnectTransport({
      baseUrl: http,
      httpVersion: "2",
      nodeOptions,
      interceptors,
    }),
    "gRPC-Web": createGrpcWebTransport({ baseUrl: http, httpVersion: "1.1", nodeOptions, interceptors }),
  };
}

describe.each(Object.entries(proxies))("behind %s", async (name, { wanted, service, start }) => {
  const program = await findDebianProgram(wanted);
  const why = typeof program === "string" ? ` (skipped: ${program})` : "";
  const ports = { http: await freePort(), grpc: await freePort() };
  const header = { authorization: `Bearer ${service.apiKey}` };

  async function begin(): Promise<void> {
    if (typeof program === "string") throw new Error(program);
    stack.use(await start(program, ports));
  }

  test.skipIf(why !== "")(
    `every client calls, streams and hears refusals, as ${name} is documented${why}`,
    async () => {
      await begin();
      const post = async (path: string, body: string) => {
        const call = request({
          host: "localhost",
          port: ports.http,
          path: `${pathOf(service)}${path}`,
          method: "POST",
          ca,
          headers: { ...header, "content-type": "text/csv" },
        });
        call.end(body);
        const [response] = await once(call, "response");
        let text = "";
        for await (const chunk of response) text += String(chunk);
        return [response.statusCode, text] as const;
      };
      await eventually(async () => expect((await post("/healthz", ""))[0]).toBe(405), 10_000);

      for (const [client, transport] of Object.entries(transportsTo(ports, service))) {
        const jobs = createClient(BatchJobService, transport);
        const worker = createClient(ContactWorkerService, transport);
        const options = { headers: header };
        const aJob = { name: client, fromPhoneNumberId: "pn_1", contacts: makeContacts(2) };
        const { batchJobId } = await eventually(() => jobs.createBatchJob(aJob, options), 10_000);

        // A message is here while its stream goes on.
        const watched = jobs.watchBatchJobs({ batchJobIds: [batchJobId] }, options)[Symbol.asyncIterator]();
        const first = await watched.next();
        expect([client, first.value?.batchJob?.status]).toEqual([client, BatchJobStatus.PENDING]);

        await jobs.startBatchJob({ batchJobId }, options);
        expect((await watched.next()).value?.batchJob?.status).toBe(BatchJobStatus.RUNNING);
        const { contacts } = await worker.leaseContacts(
          { workerId: client, maxContacts: 2, wait: { seconds: 30n }, batchJobIds: [batchJobId] },
          options,
        );
        expect(contacts.length).toBe(2);
        await watched.return?.();

        const refusal = await jobs.startBatchJob({ batchJobId }, options).catch(ConnectError.from);
        expect(refusal).toMatchObject({ code: Code.FailedPrecondition });
        expect(
          refusal instanceof ConnectError && refusal.findDetails(ErrorInfoSchema).map(({ reason }) => reason),
        ).toEqual(["ALREADY_RUNNING"]);

        const csv = "phone,name\n+14155550199,Ann\n";
        expect((await post(`/batch-jobs/${batchJobId}/contacts.csv`, csv))[1]).toContain('"acceptedCount":1');
      }

      // Both ways at once: an answer is here before the next question is asked.
      const reflection = createClient(
        ServerReflection,
        createGrpcTransport({ baseUrl: `https://localhost:${ports.grpc}`, nodeOptions: { ca } }),
      );
      const answered = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      async function* questions() {
        for (const { promise } of answered) {
          yield { messageRequest: { case: "listServices" as const, value: "" } };
          await promise;
        }
      }
      let answers = 0;
      for await (const { messageResponse } of reflection.serverReflectionInfo(questions())) {
        expect(messageResponse.case).toBe("listServicesResponse");
        answered[answers]?.resolve();
        answers += 1;
      }
      expect(answers).toBe(2);
    },
  );
});
