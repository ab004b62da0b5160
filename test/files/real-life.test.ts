import { afterAll, beforeAll, expect, test } from "vitest";
import { checkRows } from "../../src/console/features/create/file/check.ts";
import { chosenColumns, layOut } from "../../src/console/features/create/file/columns.ts";
import type { ContactInput } from "../../src/domain/contacts/contact.ts";
import { createContactFile } from "../../src/files/contact-file.ts";
import { createCsvReader } from "../../src/files/csv.ts";
import { startTestService } from "../support/service.ts";
import { type RealFile, type Verdict, realFiles } from "./real-life.ts";

/*
 * Files as people have them, each read by their module, on the console, and imported over HTTP: the verdict on every
 * row is the one that stands in the table, and the contacts are the same.
 */
const stack = new AsyncDisposableStack();
let service: Awaited<ReturnType<typeof startTestService>>;
beforeAll(async () => {
  service = stack.use(await startTestService());
});
afterAll(() => stack.disposeAsync());

/** What a file comes to; or, if it is refused as the table says, what the table says of the refusal. */
type Read = { readonly verdicts: readonly Verdict[]; readonly contacts: readonly ContactInput[] } | string;

const byLine = (verdicts: readonly Verdict[]) => verdicts.toSorted(([x], [y]) => x - y);

const tell = (file: RealFile, said: string): string =>
  typeof file.verdicts === "string" && said.includes(file.verdicts) ? file.verdicts : said;

function orRefusal(file: RealFile, read: () => Read): Read {
  try {
    return read();
  } catch (thrown) {
    return tell(file, String(thrown));
  }
}

const byModule = (file: RealFile) =>
  orRefusal(file, () => {
    const reader = createContactFile(file.options);
    const verdicts: Verdict[] = [];
    const contacts = new Map<string, ContactInput>();
    for (const row of [...reader.read(file.bytes), ...reader.end()]) {
      if ("flaw" in row) {
        verdicts.push([row.line, row.flaw.reason]);
        continue;
      }
      const { phone, name, fields } = row.contact;
      verdicts.push([row.line, contacts.has(phone) ? "duplicate_phone" : phone]);
      if (!contacts.has(phone)) contacts.set(phone, { phone, name, fields: JSON.parse(fields) });
    }
    return { verdicts, contacts: [...contacts.values()] };
  });

/** As the console does with a file that has titles: it finds the columns, and judges the rows by them. */
const onConsole = (file: RealFile) =>
  orRefusal(file, () => {
    const csv = createCsvReader(file.options);
    const { table, rows } = layOut([...csv.read(file.bytes), ...csv.end()], { hasTitles: true });
    const columns = chosenColumns(table, table.columns);
    const { check, accepted, take } = checkRows(rows, columns, file.options.defaultRegion);
    const contacts = accepted.map(take);
    const sent = accepted.map((place, i): Verdict => [rows[place]?.line ?? 0, contacts[i]?.phone ?? ""]);
    const left = check.bad.map(({ line, reason }): Verdict => [line, reason]);
    return { verdicts: byLine([...sent, ...left]), contacts };
  });

/** What one of the calls here may answer. */
type Answer = {
  readonly batchJobId: string;
  readonly contacts: readonly ContactInput[];
  readonly rejectedContacts: readonly { readonly line: number; readonly reason: string }[];
  readonly message: string;
};

/** The contacts are those of the job, in the order of the rows that are not rejected. */
async function byService(file: RealFile): Promise<Read> {
  const headers = { authorization: `Bearer ${service.apiKey}` };
  const call = async (rpc: string, request: object) => {
    const response = await fetch(`${service.httpUrl}/callsheet.v1.BatchJobService/${rpc}`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify(request),
    });
    const answer: Answer = JSON.parse(await response.text());
    return answer;
  };
  const { batchJobId } = await call("CreateBatchJob", { name: "real", fromPhoneNumberId: "p" });
  const { defaultRegion, encoding, delimiter, phoneColumn } = file.options;
  const query = new URLSearchParams({
    default_region: defaultRegion,
    encoding,
    delimiter,
    phone_column: phoneColumn,
  });
  const url = `${service.httpUrl}/batch-jobs/${batchJobId}/contacts.csv?${query}`;
  const response = await fetch(url, { method: "POST", headers, body: new Uint8Array(file.bytes) });
  const answer: Answer = JSON.parse(await response.text());
  if (!response.ok) return tell(file, answer.message);
  const listed = await call("ListContacts", { batchJobId });
  const contacts = listed.contacts.map(({ phone, name, fields }) => ({ phone, name, fields }));
  const rejected = answer.rejectedContacts.map((row): Verdict => [
    row.line,
    row.reason.replace("REJECTION_REASON_", "").toLowerCase(),
  ]);
  const out = new Set(rejected.map(([line]) => line));
  const lines = typeof file.verdicts === "string" ? [] : file.verdicts.map(([line]) => line);
  const taken = lines.filter((line) => !out.has(line));
  expect(contacts).toHaveLength(taken.length);
  const called = taken.map((line, i): Verdict => [line, contacts[i]?.phone ?? ""]);
  return { verdicts: byLine([...called, ...rejected]), contacts };
}

test.each(realFiles.map((file) => [file.name, file] as const))("a file %s", async (_, file) => {
  const read = byModule(file);
  expect(typeof read === "string" ? read : read.verdicts).toEqual(file.verdicts);
  expect(await byService(file)).toEqual(read);
});

/** On the console a column is picked where titles do not say which holds the phones, or there are none. */
const isPicked = ({ options, verdicts }: RealFile): boolean =>
  options.phoneColumn !== "" ||
  verdicts === "may both hold the phone number" ||
  verdicts === "must name its columns";
const onBoth = realFiles.filter((file) => !isPicked(file));

test.each(onBoth.map((file) => [file.name, file] as const))("on the console a file %s", (_, file) => {
  expect(onConsole(file)).toEqual(byModule(file));
});
