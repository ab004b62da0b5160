import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { getOption } from "@bufbuild/protobuf";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { roles } from "../../src/domain/caller.ts";
import { Role, roles as rolesOption } from "../../src/gen/callsheet/v1/options_pb.ts";
import { toDocument } from "../../src/rest/openapi/openapi.ts";
import { routes } from "../../src/rest/routes.ts";
import { makeApiKey } from "../support/api-key.ts";
import { eventually } from "../support/eventually.ts";
import { quoted, readDocument, root } from "../support/readme.ts";
import { type Api, noJob, refusedAs, startApi } from "./api.ts";

const logged: string[] = [];
let api: Api;
beforeAll(async () => {
  const logger = pino({ level: "info" }, { write: (line: string) => void logged.push(line) });
  api = await startApi({ logger });
});
afterAll(() => api[Symbol.asyncDispose]());

const pathsOf = (id: string) =>
  routes.map(({ name, method, paths }) => ({
    name,
    method,
    path: (paths[0] ?? "").replace(":batch_job_id", id),
  }));

describe("keys and roles", () => {
  const invalid = {
    status: 401,
    body: { success: false, code: "invalid_api_key", detail: expect.any(String), error: expect.any(String) },
  };

  test.each(pathsOf(noJob))("$method $path needs a key", async ({ method, path }) => {
    const headers = { "content-type": "application/json" };
    expect(await api.ask(method, path, { key: "", headers })).toMatchObject(invalid);
    const wrong = await api.ask(method, path, { key: `cs_${"x".repeat(43)}`, headers });
    expect(wrong).toMatchObject(invalid);
    expect(wrong.headers.get("www-authenticate")).toBe("Bearer");
  });

  test("takes a key as x-api-key", async () => {
    const headers = { "x-api-key": api.apiKey };
    expect(await api.ask("GET", "/batch/jobs", { key: "", headers })).toMatchObject({ status: 200 });
  });

  test.each(routes)("$name has the roles of its RPC", ({ rpc, roles: own }) => {
    const option = getOption(rpc, rolesOption);
    expect(own.map((role) => Role[role.toUpperCase() as keyof typeof Role])).toEqual([...option]);
  });

  test.each(roles)("a key with the role %s may do what its role may", async (role) => {
    const { key } = await makeApiKey(api.db, { role });
    const headers = { "content-type": "application/json" };
    for (const [i, { method, path }] of pathsOf(noJob).entries()) {
      const mayCall = role === "admin" || routes[i]?.roles.includes(role);
      const { status, body } = await api.ask(method, path, { key, headers });
      expect([path, status === 403, body["code"] === "permission_denied"]).toEqual([
        path,
        !mayCall,
        !mayCall,
      ]);
    }
  });
});

describe("repeats and revisions", () => {
  test("does once what has one Idempotency-Key, by whichever way it comes", async () => {
    const { id } = await api.jobIn("scheduled");
    const key = crypto.randomUUID();
    const headers = { "idempotency-key": key };
    const first = await api.ask("POST", `/batch/jobs/${id}/start`, { headers });
    expect(first).toMatchObject({ status: 200, body: { redisJobCancelled: true } });
    const again = await api.ask("POST", `/batch/${id}/start-now`, { headers });
    expect(again).toMatchObject({ status: 200, body: first.body });
    const client = api.clientWith(api.apiKey);
    const byRpc = await client.startBatchJob({ batchJobId: id }, { headers });
    expect(byRpc).toMatchObject({ redisJobCancelled: true, contactsEnqueued: 3 });
    expect(await client.startBatchJob({ batchJobId: id, requestId: key })).toMatchObject({
      redisJobCancelled: true,
    });
    await expect(client.startBatchJob({ batchJobId: id, requestId: "other" }, { headers })).rejects.toThrow(
      /Idempotency-Key is another one/,
    );
    const { id: other } = await api.jobIn("scheduled");
    const reused = await api.ask("POST", `/batch/jobs/${other}/start`, { headers });
    expect(reused).toMatchObject({ status: 400, body: { code: "request_id_reused" } });
  });

  test("creates one job for one Idempotency-Key", async () => {
    const headers = { "idempotency-key": crypto.randomUUID() };
    const body = { name: "Once", fromPhoneNumberId: "pn_1", contacts: [{ phone: "+14155550100" }] };
    const [first, second] = await Promise.all(
      [1, 2].map(() => api.ask("POST", "/batch/create", { headers, body })),
    );
    expect(first).toMatchObject({ status: 200 });
    expect(second?.body).toEqual(first?.body);
  });

  test("acts on the revision of If-Match alone", async () => {
    const { id } = await api.jobIn("pending");
    const shown = await api.ask("GET", `/batch/jobs/${id}`);
    expect(shown.headers.get("etag")).toBe('"1"');
    const stale = await api.ask("POST", `/batch/jobs/${id}/start`, { headers: { "if-match": '"7"' } });
    expect(stale).toMatchObject({ status: 409, body: { code: "revision_mismatch" } });
    const wrong = await api.ask("POST", `/batch/jobs/${id}/start`, { headers: { "if-match": "7" } });
    expect(wrong).toMatchObject({ status: 400, body: { code: "invalid_argument" } });
    const headers = { "if-match": shown.headers.get("etag") ?? "" };
    const started = await api.ask("POST", `/batch/jobs/${id}/start`, { headers });
    expect(started).toMatchObject({ status: 200 });
    expect(started.headers.get("etag")).toBe('"2"');
  });
});

describe("what is wrong with a query", () => {
  test.each([
    ["page=1&page=2", '"page" is given twice; give it once.'],
    ["contactsPage=1", '"contactsPage" is unknown; known are status, page, pageSize.'],
    ["contactStatus=busy", '"contactStatus" is unknown; known are status, page, pageSize.'],
    ["scheduledStartTime=soon", '"scheduledStartTime" is unknown; known are status, page, pageSize.'],
  ])("%s is refused for the name, not for the value", async (query, error) => {
    const { status, body } = await api.ask("GET", "/batch/jobs", { query });
    expect({ status, body }).toEqual(refusedAs(400, "invalid_argument", error, error));
  });

  test.each(["1.5", "abc", "+1", "99999999999999999999"])(
    "says of the page %s what it must be",
    async (page) => {
      const { body } = await api.ask("GET", "/batch/jobs", { query: { page } });
      expect(body).toMatchObject({
        code: "invalid_page",
        error: "The request's field page is wrong: must be a whole number from 1 to 100000000.",
      });
    },
  );
});

const sorted = (text: string | null) => text?.split(", ").toSorted();

describe("methods, types and bodies", () => {
  test.each([
    ["GET", "/batch/jobs/ID/start", "POST, OPTIONS"],
    ["DELETE", "/batch/jobs/ID/reschedule", "PATCH, POST, OPTIONS"],
    ["POST", "/batch/jobs/ID", "GET, HEAD, OPTIONS"],
    ["PUT", "/batch/ID", "GET, DELETE, HEAD, OPTIONS"],
    // Fixed names win over ids, whatever is asked of them.
    ["DELETE", "/batch/list", "GET, HEAD, OPTIONS"],
    ["DELETE", "/batch/create", "POST, OPTIONS"],
    ["GET", "/v1/batch/create", "POST, OPTIONS"],
  ])("%s of %s is answered with what may be asked", async (method, path, allow) => {
    const here = path.replace("ID", noJob);
    const reply = await api.ask(method, here);
    expect(reply).toMatchObject({ status: 405, body: { success: false, code: "method_not_allowed" } });
    expect(sorted(reply.headers.get("allow"))).toEqual(sorted(allow));
    const options = await api.ask("OPTIONS", here, { key: "" });
    expect(options.status).toBe(204);
    expect(sorted(options.headers.get("allow"))).toEqual(sorted(allow));
  });

  test.each(["/batch", "/batch/jobs/ID/else", "/v1", "/v1/else", "/batch/%zz/start-now"])(
    "there is nothing at %s",
    async (path) => {
      const reply = await api.ask("GET", path.replace("ID", noJob));
      expect(reply).toMatchObject({ status: 404, body: { success: false, code: "not_found" } });
    },
  );

  test("answers HEAD as GET, without its body", async () => {
    const { id } = await api.jobIn("pending");
    const head = await api.send("HEAD", `/batch/jobs/${id}`);
    expect(head.status).toBe(200);
    expect(head.headers.get("etag")).toBe('"1"');
    expect(Number(head.headers.get("content-length"))).toBeGreaterThan(100);
    expect(await head.text()).toBe("");
    expect((await api.send("HEAD", `/batch/jobs/${noJob}`)).status).toBe(404);
  });

  test.each(["", "{}", " { } ", "\n"])("takes %j where no body is asked for", async (body) => {
    const { id } = await api.jobIn("pending");
    expect(await api.ask("POST", `/batch/jobs/${id}/start`, { body })).toMatchObject({ status: 200 });
  });

  test("refuses any other body there, and one that is too large", async () => {
    const { id } = await api.jobIn("pending");
    const start = (body: string) => api.ask("POST", `/batch/jobs/${id}/start`, { body });
    expect(await start('{"force":true}')).toMatchObject({ status: 400, body: { code: "invalid_argument" } });
    expect(await start(" ".repeat(70_000))).toMatchObject({ status: 413, body: { code: "too_large" } });
  });

  test.each(["text/csv", "application/x-www-form-urlencoded", ""])("refuses a job as %j", async (type) => {
    const reply = await api.ask("POST", "/batch/create", {
      body: Buffer.from("x"),
      headers: { "content-type": type },
    });
    const error = "Send the body as application/json or multipart/form-data.";
    expect(reply).toMatchObject({ status: 415, body: { code: "unsupported_media_type", error } });
    expect(reply.headers.get("accept-post")).toBe("application/json, multipart/form-data");
  });

  test("takes a body that is compressed with gzip, and no other way", async () => {
    const job = { name: "Small", fromPhoneNumberId: "pn_1", contacts: [{ phone: "+14155550100" }] };
    const send = (encoding: string) =>
      api.ask("POST", "/batch/create", {
        body: gzipSync(JSON.stringify(job)),
        headers: { "content-type": "application/json", "content-encoding": encoding },
      });
    expect(await send("gzip")).toMatchObject({ status: 200, body: { totalContacts: 1 } });
    expect(await send("GZip")).toMatchObject({ status: 200, body: { totalContacts: 1 } });
    expect(await send("br")).toMatchObject({ status: 415 });
  });

  test("tells a client that asks first to go on only once its key is known", async () => {
    const { port, hostname } = new URL(api.httpUrl);
    const firstLine = async (key: string) => {
      const socket = connect(Number(port), hostname);
      await once(socket, "connect");
      socket.write(
        `POST /batch/create HTTP/1.1\r\nhost: here\r\nx-api-key: ${key}\r\nexpect: 100-continue\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n`,
      );
      const [chunk] = (await once(socket, "data")) as [Buffer];
      socket.destroy();
      return chunk.toString().split("\r\n")[0];
    };
    expect(await firstLine(api.apiKey)).toBe("HTTP/1.1 100 Continue");
    expect(await firstLine("cs_wrong")).toBe("HTTP/1.1 401 Unauthorized");
  });
});

test("calls are counted and logged under the name of their RPC", async () => {
  const { id } = await api.jobIn("pending");
  const was = [
    await api.ended("StartBatchJob", "ok"),
    await api.ended("StartBatchJob", "failed_precondition"),
  ];
  const headers = { "idempotency-key": "a-key-of-mine" };
  const started = await api.ask("POST", `/batch/jobs/${id}/start`, { headers });
  await api.ask("POST", `/batch/jobs/${id}/start`);
  const callId = started.headers.get("callsheet-call-id");
  await eventually(() => {
    const line = logged
      .map((text) => JSON.parse(text) as object)
      .find((each) => Reflect.get(each, "callId") === callId);
    expect(line).toMatchObject({
      method: "callsheet.v1.BatchJobService/StartBatchJob",
      code: "ok",
      batchJobId: id,
      requestId: "a-key-of-mine",
      organizationId: api.organizationId,
    });
  });
  expect([
    await api.ended("StartBatchJob", "ok"),
    await api.ended("StartBatchJob", "failed_precondition"),
  ]).toEqual(was.map((count) => count + 1));
});

describe("the document", () => {
  const kept: unknown = JSON.parse(readFileSync(join(root, "docs/openapi.json"), "utf8"));

  test("is served as it is kept", async () => {
    expect((await api.ask("GET", "/openapi.json", { key: "" })).body).toEqual(kept);
    expect(JSON.parse(JSON.stringify(toDocument(routes)))).toEqual(kept);
  });

  test("has its paths in the table of docs/http.md, with the RPC that each stands for", () => {
    const rows = readDocument("docs/http.md")
      .table("## Paths")
      .rows.flatMap(([path = "", also = "", rpc = ""]) => {
        const others = quoted(also).filter((text) => text.includes(" /"));
        return [...quoted(path), ...others].map((each) => [each, quoted(rpc)[0]]);
      });
    const served = routes.flatMap(({ method, paths, rpc }) =>
      paths.map((path) => [`${method} ${path.replace(":batch_job_id", "{batch_job_id}")}`, rpc.name]),
    );
    // The list says of this one that POST does too.
    const byPost = ["POST /batch/jobs/{batch_job_id}/reschedule", "RescheduleBatchJob"];
    expect([...rows, byPost].toSorted()).toEqual(served.toSorted());
  });

  test.each(routes)("$name is in it, with every query parameter", ({ method, paths, query }) => {
    const path = (paths[0] ?? "").replace(":batch_job_id", "{batch_job_id}");
    const inQuery = Object.keys(query.shape).map((name) => expect.objectContaining({ name, in: "query" }));
    expect(kept).toMatchObject({
      paths: { [path]: { [method.toLowerCase()]: { parameters: expect.arrayContaining(inQuery) } } },
    });
  });
});
