import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
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
import { freePort } from "../src/embedded/server-process.ts";
import { BatchJobStatus } from "../src/gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { ErrorInfoSchema } from "../src/gen/google/rpc/error_details_pb.ts";
import { ServerReflection } from "../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { createGrpcJsTransport } from "./rpc/grpc-js-transport.ts";
import { hasOpenssl, makeCertificate } from "./support/certificate.ts";
import { findDebianProgram, type Program, startProgram } from "./support/debian-program.ts";
import { eventually } from "./support/eventually.ts";
import { makeContacts } from "./support/make.ts";
import { readDocument } from "./support/readme.ts";
import { startTestService } from "./support/service.ts";

const proxiesDocument = readDocument("docs/proxies.md");

type Ports = { readonly http: number; readonly grpc: number };

const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());
const service = stack.use(await startTestService());
const behind: Ports = {
  http: Number(new URL(service.httpUrl).port),
  grpc: Number(new URL(service.grpcUrl).port),
};
const directory = await mkdtemp(join(tmpdir(), "callsheet-proxies-"));
stack.defer(() => rm(directory, { recursive: true, force: true }));

/** A configuration of the document with other ports and another certificate. */
const adapted = (text: string, ports: Ports) =>
  text
    .replaceAll("8443", String(ports.http))
    .replaceAll("50443", String(ports.grpc))
    .replaceAll("8080", String(behind.http))
    .replaceAll("50051", String(behind.grpc))
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
    `pid ${join(directory, "nginx.pid")};`,
    "events { }",
    `http { access_log off; ${temporary.join(" ")}`,
    inside,
    "}",
  ].join("\n");
};

type Proxy = { start(program: Program, ports: Ports): Promise<AsyncDisposable> };

const proxies: Record<string, { wanted: Parameters<typeof findDebianProgram>[0] } & Proxy> = {
  nginx: {
    wanted: { packageName: "nginx", file: "usr/sbin/nginx", versionFlag: "-v" },
    async start(program, ports) {
      const file = join(directory, "nginx.conf");
      await writeFile(file, nginxAround(adapted(proxiesDocument.code("## nginx", "nginx"), ports)));
      return startProgram(program, ["-e", "stderr", "-c", file]);
    },
  },
  HAProxy: {
    wanted: { packageName: "haproxy", file: "usr/sbin/haproxy", versionFlag: "-v" },
    async start(program, ports) {
      const file = join(directory, "haproxy.cfg");
      await writeFile(file, adapted(proxiesDocument.code("## HAProxy", "haproxy"), ports));
      return startProgram(program, ["-db", "-f", file]);
    },
  },
};

const withKey: Interceptor = (next) => (call) => {
  call.header.set("authorization", `Bearer ${service.apiKey}`);
  return next(call);
};

/** Clients that speak TLS with the proxy. */
function transportsTo(ports: Ports, ca: Buffer): Record<string, Transport> {
  const [http, grpc] = [`https://localhost:${ports.http}`, `https://localhost:${ports.grpc}`];
  const interceptors = [withKey];
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

describe.each(Object.entries(proxies))("behind %s", async (name, { wanted, start }) => {
  const program = hasOpenssl ? await findDebianProgram(wanted) : "openssl is not there to make a certificate";
  const why = typeof program === "string" ? ` (skipped: ${program})` : "";
  const ports = { http: await freePort(), grpc: await freePort() };
  const header = { authorization: `Bearer ${service.apiKey}` };

  async function begin(): Promise<Buffer> {
    if (typeof program === "string") throw new Error(program);
    await mkdir(directory, { recursive: true });
    const { certificate, key } = makeCertificate(directory);
    const [crt, pem] = await Promise.all([readFile(certificate), readFile(key)]);
    await writeFile(join(directory, "localhost.pem"), Buffer.concat([crt, pem]));
    stack.use(await start(program, ports));
    return crt;
  }

  test.skipIf(why !== "")(
    `every client calls, streams and hears refusals, as ${name} is documented${why}`,
    async () => {
      const ca = await begin();
      const post = async (path: string, body: string) => {
        const call = request({
          host: "localhost",
          port: ports.http,
          path,
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

      for (const [client, transport] of Object.entries(transportsTo(ports, ca))) {
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
