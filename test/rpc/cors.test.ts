import { afterAll, describe, expect, test } from "vitest";
import { startEcho } from "./echo.ts";

const origin = "https://app.example.com";
const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());
const listeners = stack.use(
  await startEcho({ corsOrigins: [origin], pages: { "/page": () => ({ body: "" }) } }),
);
const unset = stack.use(await startEcho());

const at = ({ http }: typeof listeners, path: string) => `http://127.0.0.1:${http.port}${path}`;

const preflight = (url: string, from: string) =>
  fetch(url, {
    method: "OPTIONS",
    headers: {
      origin: from,
      "access-control-request-method": "POST",
      "access-control-request-headers": "x-a",
    },
  });

const corsHeaders = ({ headers }: Response) =>
  [...headers.keys()].filter((name) => name.startsWith("access-control-"));

describe("a preflight", () => {
  test("from an origin that is allowed is answered for two hours, without credentials", async () => {
    const { status, headers } = await preflight(at(listeners, "/test.v1.Echo/One"), origin);
    expect(status).toBe(204);
    expect(Object.fromEntries(headers)).toMatchObject({
      "access-control-allow-origin": origin,
      "access-control-max-age": "7200",
      vary: "Origin",
    });
    expect(headers.get("access-control-allow-methods")?.split(", ")).toEqual([
      "POST",
      "GET",
      "PATCH",
      "DELETE",
    ]);
    const allowed = headers.get("access-control-allow-headers")?.toLowerCase().split(", ");
    expect(allowed).toEqual(
      expect.arrayContaining([
        "authorization",
        "x-api-key",
        "content-type",
        "connect-protocol-version",
        "x-grpc-web",
      ]),
    );
    expect(headers.has("access-control-allow-credentials")).toBe(false);
  });

  test.each([
    ["of another origin", listeners, "https://evil.example.com"],
    ["of an origin like it", listeners, `${origin}.evil.example`],
    ["of no origin at all", listeners, "null"],
    ["where none is allowed", unset, origin],
  ])("%s is allowed nothing", async (_, service, from) => {
    const response = await preflight(at(service, "/test.v1.Echo/One"), from);
    expect([response.status, corsHeaders(response)]).toEqual([405, []]);
  });
});

const call = (service: typeof listeners, headers: Record<string, string>, path = "/test.v1.Echo/One") =>
  fetch(at(service, path), {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: "{}",
  });

describe("an answer", () => {
  test("may be seen by a page of the origin, with the headers of errors", async () => {
    const { headers } = await call(listeners, { origin });
    expect([headers.get("access-control-allow-origin"), headers.get("vary")]).toEqual([origin, "Origin"]);
    const exposed = headers.get("access-control-expose-headers")?.toLowerCase().split(", ");
    expect(exposed).toEqual(
      expect.arrayContaining([
        "grpc-status",
        "grpc-message",
        "grpc-status-details-bin",
        "retry-after",
        "etag",
        "callsheet-call-id",
      ]),
    );
  });

  test("that there is no such method may be seen, too", async () => {
    expect((await preflight(at(listeners, "/test.v1.Echo/None"), origin)).status).toBe(204);
    const { status, headers } = await call(listeners, { origin }, "/test.v1.Echo/None");
    expect([status, headers.get("access-control-allow-origin")]).toEqual([404, origin]);
  });

  test("to others says only that it may differ", async () => {
    for (const headers of [{}, { origin: "https://evil.example.com" }]) {
      const response = await call(listeners, headers);
      expect([response.headers.get("vary"), corsHeaders(response)]).toEqual(["Origin", []]);
    }
    expect((await call(unset, { origin })).headers.has("vary")).toBe(false);
  });

  test("of a page is for nobody else", async () => {
    expect(corsHeaders(await call(listeners, { origin }, "/page"))).toEqual([]);
  });
});
