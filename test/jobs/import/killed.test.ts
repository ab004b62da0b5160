import { connect } from "node:net";
import { Client } from "pg";
import { afterAll, expect, test } from "vitest";
import { generateApiKey } from "../../../src/domain/api-key.ts";
import { callerFor, answered } from "../../service/callers.ts";
import { cloneDatabase } from "../../support/database.ts";
import { eventually } from "../../support/eventually.ts";
import { mainSettings, startMain } from "../../support/main.ts";
import { makeContacts } from "../../support/make.ts";

const database = await cloneDatabase();
afterAll(() => database[Symbol.asyncDispose]());

test("a replica that is killed while a file arrives leaves nothing of it behind", async () => {
  await using stack = new AsyncDisposableStack();
  const client = new Client({ connectionString: database.url });
  await client.connect();
  stack.defer(() => client.end());
  const count = async (statement: string) =>
    Number((await client.query<{ count: string }>(statement)).rows[0]?.count);
  /** Tables of staged phones, whoever has them. */
  const staged = () => count("select count(*) from pg_class where relname like 'staged\\_phones\\_%'");

  const apiKey = generateApiKey();
  const program = stack.use(await startMain(mainSettings(database.url, apiKey)));
  const { httpUrl, grpcUrl } = program;
  const call = callerFor("plain fetch", { httpUrl, grpcUrl, apiKey });
  const job = await answered<{ batchJobId: string }>(
    call("createBatchJob", { name: "A job", fromPhoneNumberId: "pn_1" }),
  );

  const rows = makeContacts(100_000).map((c) => `${c.phone},${c.name}\n`);
  const socket = connect(Number(new URL(httpUrl).port), "127.0.0.1").on("error", () => {});
  stack.defer(async () => void socket.destroy());
  socket.write(
    [
      `POST /batch-jobs/${job.batchJobId}/contacts.csv HTTP/1.1`,
      "host: callsheet",
      `authorization: Bearer ${apiKey}`,
      "content-length: 100000000",
      `\r\nphone,name\n${rows.join("")}`,
    ].join("\r\n"),
  );
  await eventually(async () => expect(await staged()).toBe(1));

  program.child.kill("SIGKILL");
  await program.ended;
  await eventually(async () => expect(await staged()).toBe(0));
  expect(await count("select count(*) from contact_blocks")).toBe(0);
  expect(await count("select count(*) from contact_phones")).toBe(0);
  expect(await count("select total_contacts as count from batch_jobs")).toBe(0);
}, 60_000);
