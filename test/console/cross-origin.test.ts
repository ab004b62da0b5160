import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import { build, type Rolldown } from "vite";
import { expect, test } from "vitest";
import { BatchJobStatus } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { root } from "../support/readme.ts";
import { startTestService } from "../support/service.ts";
import { useBrowser } from "./browser.ts";

const open = useBrowser();

const script = await bundle("test/console/foreign/page.ts");

/** A module as one script for a browser. */
async function bundle(file: string): Promise<string> {
  const built = await build({
    configFile: false,
    logLevel: "warn",
    root,
    build: { write: false, lib: { entry: join(root, file), formats: ["es"], fileName: "page" } },
  });
  const chunks = (built as Rolldown.RolldownOutput[]).flatMap(({ output }) => output);
  return chunks.map((chunk) => (chunk.type === "chunk" ? chunk.code : "")).join("\n");
}

/** An origin that is nobody's but this page's. */
async function startForeignSite() {
  const server = createServer((request, response) => {
    const isScript = request.url === "/page.js";
    response.writeHead(200, { "content-type": isScript ? "text/javascript" : "text/html" });
    response.end(isScript ? script : '<!doctype html><script type="module" src="/page.js"></script>');
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  return {
    origin: `http://127.0.0.1:${port}`,
    [Symbol.dispose]: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

const run = (what: "call" | "isBlocked", { baseUrl, apiKey }: { baseUrl: string; apiKey: string }) =>
  `foreign.${what}(${JSON.stringify({ baseUrl, apiKey })})`;

test("a page of an origin that is allowed calls, streams and reads refusals; one of another origin sees nothing", async () => {
  using site = await startForeignSite();
  using stranger = await startForeignSite();
  await using service = await startTestService({ corsOrigins: ["https://app.example.com", site.origin] });
  const at = { baseUrl: service.httpUrl, apiKey: service.apiKey };

  await using allowed = await open(site.origin);
  const asPromised = [[BatchJobStatus.PENDING, BatchJobStatus.RUNNING], ["ALREADY_RUNNING"]];
  expect(await allowed.page.evaluate(run("call", at))).toEqual({
    connect: asPromised,
    grpcWeb: asPromised,
    etag: true,
    // It is known to the page that the job has changed.
    cancelled: 409,
    fileName: true,
  });

  await using other = await open(stranger.origin);
  expect(await other.page.evaluate(run("isBlocked", at))).toBe(true);
  await using unset = await startTestService();
  const notSet = { baseUrl: unset.httpUrl, apiKey: unset.apiKey };
  expect(await allowed.page.evaluate(run("isBlocked", notSet))).toBe(true);
});
