import { randomUUID } from "node:crypto";
import { Agent, request as httpRequest } from "node:http";
import { gzipSync } from "node:zlib";
import * as fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { jobStatuses } from "../../src/domain/jobs/batch-job.ts";
import type { Route } from "../../src/rest/route.ts";
import { routes } from "../../src/rest/routes.ts";
import { startApi } from "./api.ts";
import { type Answer, createValidator } from "./validator.ts";

const api = await startApi();
const agent = new Agent({ keepAlive: true, maxSockets: 16 });
afterAll(async () => {
  agent.destroy();
  await api[Symbol.asyncDispose]();
});
const judge = createValidator();

const requests = 2_000;
const atOnce = 16;
const seed = Number(process.env["FUZZ_SEED"] ?? 8);

type Asked = {
  /** One of the paths of the table. */
  readonly template: string;
  readonly method: string;
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
};

/** Mostly what is right, so that some requests are. */
const mostly = <T, U>(right: fc.Arbitrary<T>, ...wrong: fc.Arbitrary<U>[]): fc.Arbitrary<T | U> =>
  fc.oneof({ weight: 4, arbitrary: right }, ...wrong.map((arbitrary) => ({ weight: 1, arbitrary })));

/** What HTTP lets a header hold. */
const headerText = fc.string({
  unit: fc
    .integer({ min: 0x20, max: 0xff })
    .map((code) => String.fromCharCode(code))
    .filter((c) => c !== "\x7f"),
  maxLength: 80,
});
const oddText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 30 }).map((text) => text.toWellFormed()),
  fc.constantFrom(
    "",
    "0",
    "-1",
    "null",
    "1e9",
    "__proto__",
    "\0",
    "%",
    "'; drop table batch_jobs; --",
    "a".repeat(300),
  ),
);
/** A value in a query or a path, also such as no decoder takes. */
const oddEncoded = fc.oneof(
  oddText.map(encodeURIComponent),
  fc.constantFrom("%", "%zz", "%FF%FE", "+", "%00", "..%2f"),
);

const values: Readonly<Record<string, fc.Arbitrary<string>>> = {
  scheduledStartTime: fc.constantFrom(
    "2035-03-01T10:00:00",
    "2035-03-01T10:00+05:00",
    "2001-01-01T00:00",
    "2035-03-11T02:30",
  ),
  timezone: fc.constantFrom("America/New_York", "utc", "Mars/Olympus", "+05:30"),
  status: fc.constantFrom(...jobStatuses, "all"),
  contactStatus: fc.constantFrom("queued", "failed", "all", "pending"),
  page: fc.constantFrom("1", "2", "99999999"),
  contactsPage: fc.constantFrom("1", "2", "99999999"),
  pageSize: fc.constantFrom("1", "100"),
  contactsPageSize: fc.constantFrom("1", "500"),
};

const parameter = (name: string): fc.Arbitrary<string[]> =>
  mostly(
    (values[name] ?? fc.constant("x")).map((value) => [`${name}=${encodeURIComponent(value)}`]),
    oddEncoded.map((value) => [`${name}=${value}`]),
    fc.constant([]),
    fc.constant([`${name}=1`, `${name}=2`]),
  );

const queryOf = ({ query }: Route): fc.Arbitrary<string> =>
  fc
    .tuple(
      fc.tuple(...Object.keys(query.shape).map(parameter)),
      mostly(
        fc.constant([]),
        fc.tuple(oddEncoded, oddEncoded).map(([name, value]) => [`${name}=${value}`]),
        fc
          .constantFrom(`organizationId=${api.organizationId}`, "organizationId=7", "&&=&")
          .map((text) => [text]),
      ),
    )
    .map(([known, others]) => [...known.flat(), ...others].join("&"));

const contact = mostly(
  fc.record({
    phone: fc.constantFrom("+14155550100", "+14155550101", "+1 415 555-0102"),
    plan: fc.constant(7),
  }),
  fc.dictionary(oddText, fc.jsonValue({ maxDepth: 1 })),
  fc.record({ phone: oddText, name: oddText }),
);
const newJob = fc.record(
  {
    name: mostly(fc.constant("Fuzz"), oddText, fc.jsonValue({ maxDepth: 1 })),
    fromPhoneNumberId: mostly(fc.constant("pn_1"), oddText),
    contacts: mostly(fc.array(contact, { minLength: 1, maxLength: 4 }), fc.array(contact, { maxLength: 1 })),
    description: fc.option(oddText),
    concurrentCallLimit: mostly(fc.constant(5), fc.integer(), fc.double()),
    maxAttempts: mostly(fc.constant(3), fc.integer()),
    scheduledStartTime: mostly(fc.constant("2035-03-01T10:00:00"), oddText),
    timezone: mostly(fc.constant("UTC"), oddText),
  },
  { requiredKeys: ["name", "fromPhoneNumberId", "contacts"] },
);
const exportBody = fc.record(
  {
    format: mostly(fc.constant("csv"), oddText),
    filter: mostly(fc.constantFrom("all", "successful", "failed"), oddText),
  },
  { requiredKeys: [] },
);

const boundary = "----fuzz";
const part = (name: string, value: string) =>
  `--${boundary}\r\ncontent-disposition: form-data; ${name}\r\n\r\n${value}\r\n`;
const form = fc
  .tuple(
    mostly(
      fc.constant("phone,name\n+14155550100,Ada\n"),
      fc.constantFrom("", "name\nAda\n", '"', "\0"),
      oddText,
    ),
    mostly(fc.constant(`--${boundary}--\r\n`), fc.constantFrom("", "--")),
    mostly(
      fc.constant(""),
      oddText.map((text) => part(`name="${text.replace(/["\r\n]/g, "")}"`, text)),
    ),
  )
  .map(
    ([file, end, more]) =>
      part('name="name"', "Fuzz") +
      part('name="fromPhoneNumberId"', "pn_1") +
      more +
      part('name="file"; filename="list.csv"', file) +
      end,
  );

type Sent = { body: Buffer; type: string };
const oddBody: fc.Arbitrary<Sent> = fc.record({
  body: fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    fc.json({ maxDepth: 3 }).map((text) => Buffer.from(text)),
    fc
      .constantFrom("", "{}", "[]", "null", '{"name":', "[".repeat(5_000), '{"a":1}'.repeat(20))
      .map((text) => Buffer.from(text)),
  ),
  type: fc.oneof(
    fc.constantFrom(
      "application/json",
      "application/json; charset=utf-16",
      "text/plain",
      "",
      "multipart/form-data",
    ),
    headerText,
  ),
});
const asJson = (value: unknown): Sent => ({
  body: Buffer.from(JSON.stringify(value)),
  type: "application/json",
});

function bodyOf(route: Route): fc.Arbitrary<Sent> {
  const nothing = fc.constant<Sent>({ body: Buffer.alloc(0), type: "" });
  if (route.bodies.length === 0) return mostly(nothing, oddBody);
  if (route.name === "exportBatchJob") return mostly(exportBody.map(asJson), oddBody);
  const asForm = form.map((text) => ({
    body: Buffer.from(text),
    type: `multipart/form-data; boundary=${boundary}`,
  }));
  return mostly(fc.oneof(newJob.map(asJson), asForm), oddBody);
}

const headers = fc.record(
  {
    authorization: mostly(fc.constant(`Bearer ${api.apiKey}`), headerText, fc.constant("Bearer cs_wrong")),
    "x-api-key": fc.constantFrom(api.apiKey, "cs_wrong"),
    "idempotency-key": fc.oneof(fc.constantFrom("one", "two", "x".repeat(65)), headerText),
    "if-match": fc.oneof(fc.constantFrom('"1"', '"2"', "*", "1", 'W/"1"'), headerText),
    accept: headerText,
    "accept-encoding": fc.constantFrom("gzip", "br", "*"),
    "content-encoding": fc.constantFrom("gzip", "br", "identity"),
    "x-odd": headerText,
  },
  { requiredKeys: ["authorization"] },
);

const idOf = (ids: readonly string[]) =>
  mostly(
    fc.constantFrom(...ids),
    fc.constant(randomUUID()),
    oddEncoded.map((text) => text || "%20"),
  );

const anyRequest = (ids: readonly string[]): fc.Arbitrary<Asked> =>
  fc.constantFrom(...routes).chain((route) =>
    fc
      .record({
        template: fc.constantFrom(...route.paths),
        version: fc.constantFrom("", "/v1"),
        id: idOf(ids),
        query: queryOf(route),
        sent: bodyOf(route),
        given: headers,
        method: mostly(
          fc.constant(route.method as string),
          fc.constantFrom("GET", "POST", "PUT", "DELETE", "OPTIONS"),
        ),
        isZipped: fc.boolean(),
      })
      .map(({ template, version, id, query, sent, given, method, isZipped }) => {
        const isGzip = given["content-encoding"] === "gzip" && isZipped;
        const body = isGzip ? gzipSync(sent.body) : sent.body;
        const trimmed = Object.entries({ ...given, ...(sent.type !== "" && { "content-type": sent.type }) });
        return {
          template,
          method,
          target: `${version}${template.replace(":batch_job_id", id)}${query === "" ? "" : `?${query}`}`,
          headers: Object.fromEntries(trimmed.map(([name, value]) => [name, value.trim()])),
          body: method === "GET" ? Buffer.alloc(0) : body,
        };
      }),
  );

function send({ method, target, headers: given, body }: Asked): Promise<Omit<Answer, "path">> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(api.httpUrl);
    const options = { agent, hostname, port, method, path: target };
    const asking = httpRequest(
      { ...options, headers: { ...given, "content-length": String(body.length) } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const { statusCode: status = 0, headers: answered } = response;
          const contentType = answered["content-type"] ?? "";
          resolve({ method, status, contentType, text: Buffer.concat(chunks).toString() });
        });
      },
    );
    asking.on("error", reject);
    asking.end(body);
  });
}

/** The path in the document of what serves this method at this path, if anything does. */
function documented({ template, method }: Asked): string | undefined {
  const served = routes.find((route) => route.method === method && route.paths.includes(template));
  return served?.paths[0]?.replace(":batch_job_id", "{batch_job_id}");
}

const shownRequest = ({ method, target, headers: given, body }: Asked) =>
  `${method} ${target} ${JSON.stringify(given)} ${JSON.stringify(body.toString("latin1").slice(0, 300))}`;

test("an answer that is not as the document says is found out", () => {
  const answer = { method: "GET", path: "/batch/jobs", status: 200, contentType: "application/json" };
  expect(judge({ ...answer, text: '{"batchJobs":[],"total":0,"page":1,"pageSize":20}' })).toBeUndefined();
  expect(judge({ ...answer, text: '{"batchJobs":[],"total":-1,"page":1,"pageSize":20}' })).toMatch(/total/);
  expect(judge({ ...answer, text: '{"batchJobs":[{}],"total":0,"page":1,"pageSize":20}' })).toMatch(
    /required/,
  );
  expect(judge({ ...answer, status: 418, text: "{}" })).toMatch(/required/);
  expect(judge({ ...answer, path: undefined, status: 404, text: "{}" })).toMatch(/required/);
});

test("whatever is asked, the answer is one that the document has, and none is a failure of the service", async () => {
  const jobs = await Promise.all(jobStatuses.flatMap((status) => [1, 2, 3].map(() => api.jobIn(status))));
  const ids = jobs.map(({ id }) => id);
  const asked = fc.sample(anyRequest(ids), { numRuns: requests, seed });
  const statuses = new Map<number, number>();
  const wrong: string[] = [];
  const rest = asked.values();
  const ask = async () => {
    for (const each of rest) {
      const answer = await send(each);
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      if (answer.status === 204 && each.method === "OPTIONS") continue;
      const why = answer.status >= 500 ? "the service failed" : judge({ ...answer, path: documented(each) });
      if (why !== undefined)
        wrong.push(`${why}: ${answer.status} ${answer.text.slice(0, 300)} ${shownRequest(each)}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, ask));
  expect(wrong.slice(0, 5), `seed ${seed}`).toEqual([]);
  // Each kind of answer was met.
  expect([...statuses.keys()]).toEqual(expect.arrayContaining([200, 204, 400, 401, 404, 405, 409, 415]));
});
