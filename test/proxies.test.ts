import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { request } from "node:https";
import { once } from "node:events";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { credentials } from "@grpc/grpc-js";
import { afterAll, describe, expect, test } from "vitest";
import { readNetworks } from "../src/domain/networks.ts";
import { run } from "../src/embedded/run.ts";
import { freePort } from "../src/embedded/server-process.ts";
import { BatchJobStatus } from "../src/gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { ErrorInfoSchema } from "../src/gen/google/rpc/error_details_pb.ts";
import { ServerReflection } from "../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { createGrpcJsTransport } from "./rpc/grpc-js-transport.ts";
import { withKey } from "./support/api-key.ts";
import { createAuthority } from "./support/servers/authority.ts";
import { findDebianProgram, type Program, startProgram } from "./support/servers/debian-program.ts";
import { eventually } from "./support/eventually.ts";
import { makeContacts } from "./support/make.ts";
import { findPython, makePythonClient } from "./support/servers/python.ts";
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

/** What all paths of the HTTP port begin with. */
const pathOf = ({ httpUrl }: Service): string => new URL(httpUrl).pathname.replace(/\/$/, "");

/** Clients that speak TLS with the proxy. */
function transportsTo(ports: Ports, service: Service): Record<string, Transport> {
  const http = `https://localhost:${ports.http}${pathOf(service)}`;
  const grpc = `https://localhost:${ports.grpc}`;
  const interceptors = [withKey(service.apiKey)];
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

const python = stack.use(await findPython());
const pythonEnvironment = python && (await makePythonClient(python, directory));
const withPython = python === undefined ? " (skipped: needs python3 with grpcio-tools)" : "";

/** More than what a proxy keeps of a stream. */
const manyContacts = 20_000;
const manyRows = (): string =>
  `phone,name\n${Array.from({ length: manyContacts }, (_, i) => `+1415${2_000_000 + i},Ann ${i}\n`).join("")}`;

/** A job of its own that goes to the service and comes back as a stream; then what it hears of the job, as JSON. */
const pythonProgram = `
import grpc, json, os, sys
from callsheet.v1 import batch_job_pb2 as kinds, batch_job_service_pb2 as api, batch_job_service_pb2_grpc as rpc
authority = grpc.ssl_channel_credentials(open(os.environ["CA"], "rb").read())
stub = rpc.BatchJobServiceStub(grpc.secure_channel(os.environ["ADDRESS"], authority))
meta = dict(metadata=[("authorization", "Bearer " + os.environ["KEY"])], timeout=60)
made = stub.CreateBatchJob(api.CreateBatchJobRequest(name="Python", from_phone_number_id="pn_1"), wait_for_ready=True, **meta)
id, file = made.batch_job_id, sys.stdin.buffer.read()

def parts():
    yield api.ImportContactsRequest(header=api.ImportContactsHeader(batch_job_id=id))
    for at in range(0, len(file), 65536):
        yield api.ImportContactsRequest(csv=file[at:at + 65536])
    yield api.ImportContactsRequest(end=api.ImportContactsEnd(total_bytes=len(file)))

accepted = stub.ImportContacts(parts(), **meta).accepted_count
watched = stub.WatchBatchJobs(api.WatchBatchJobsRequest(batch_job_ids=[id]), **meta)
heard = [kinds.BatchJobStatus.Name(next(watched).batch_job.status)]
stub.StartBatchJob(api.StartBatchJobRequest(batch_job_id=id), **meta)
heard.append(kinds.BatchJobStatus.Name(next(watched).batch_job.status))
watched.cancel()
lines = b"".join(part.csv for part in stub.ExportContacts(api.ExportContactsRequest(batch_job_id=id), **meta)).count(b"\\n")
try:
    stub.StartBatchJob(api.StartBatchJobRequest(batch_job_id=id), **meta)
except grpc.RpcError as error:
    refusal = error.code().name
print(json.dumps(dict(accepted=accepted, heard=heard, lines=lines, refusal=refusal)))
`;

describe.each(Object.entries(proxies))("behind %s", async (name, { wanted, service, start }) => {
  const program = await findDebianProgram(wanted);
  const why = typeof program === "string" ? ` (skipped: ${program})` : "";
  const ports = { http: await freePort(), grpc: await freePort() };
  const header = { authorization: `Bearer ${service.apiKey}` };

  async function begin(): Promise<void> {
    if (typeof program === "string") throw new Error(program);
    stack.use(await start(program, ports));
  }
  const started = why === "" ? begin() : undefined;

  test.skipIf(why !== "")(
    `every client calls, streams and hears refusals, as ${name} is documented${why}`,
    async () => {
      await started;
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

      // gRPC-Web has no streams to the service.
      const { "gRPC-Web": _, ...streaming } = transportsTo(ports, service);
      for (const [client, transport] of Object.entries(streaming)) {
        const jobs = createClient(BatchJobService, transport);
        const options = { headers: header };
        const { batchJobId } = await jobs.createBatchJob(
          { name: client, fromPhoneNumberId: "pn_1" },
          options,
        );
        const bytes = Buffer.from(manyRows());
        async function* parts() {
          yield { part: { case: "header" as const, value: { batchJobId } } };
          for (let at = 0; at < bytes.length; at += 65_536)
            yield { part: { case: "csv" as const, value: bytes.subarray(at, at + 65_536) } };
          yield { part: { case: "end" as const, value: { totalBytes: BigInt(bytes.length) } } };
        }
        const { acceptedCount } = await jobs.importContacts(parts(), options);
        let exported = "";
        for await (const { csv } of jobs.exportContacts({ batchJobId }, options))
          exported += String(Buffer.from(csv));
        const lines = exported.trimEnd().split("\n").length;
        expect([client, acceptedCount, lines]).toEqual([client, manyContacts, manyContacts + 1]);
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

  test.skipIf(why !== "" || python === undefined)(
    `a client in Python calls, streams and hears refusals through ${name}${why}${withPython}`,
    async () => {
      await started;
      const { ok, output } = await run(python?.command ?? "", ["-c", pythonProgram], {
        env: { ...pythonEnvironment, CA: caFile, ADDRESS: `localhost:${ports.grpc}`, KEY: service.apiKey },
        input: manyRows(),
      });
      expect({ ok, output }).toEqual({ ok: true, output: expect.stringMatching(/^{.*}$/) as string });
      expect(JSON.parse(output)).toEqual({
        accepted: manyContacts,
        heard: ["BATCH_JOB_STATUS_PENDING", "BATCH_JOB_STATUS_RUNNING"],
        lines: manyContacts + 1,
        refusal: "FAILED_PRECONDITION",
      });
    },
    90_000,
  );
});
