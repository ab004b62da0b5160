import { mkdtemp, rm } from "node:fs/promises";
import { createWriteStream } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** The i-th contact of every workload. Phones come in no order, as in real files, and none comes twice. */
export const contact = (i: number) => ({
  phone: `+1${4_150_000_000 + ((i * 7_919) % 10_000_019)}`,
  name: `Ada Lovelace ${i}`,
  plan: "basic",
  city: "London",
});

export type Contact = ReturnType<typeof contact>;

/** Some at a time. */
export function* batchesOf(total: number, size: number): Generator<Contact[]> {
  for (let first = 0; first < total; first += size) {
    yield Array.from({ length: Math.min(size, total - first) }, (_, i) => contact(first + i));
  }
}

/** As text, some kilobytes at a time. */
export function* linesOf(
  total: number,
  head: string,
  line: (c: Contact, i: number) => string,
): Generator<string> {
  let text = head;
  for (let i = 0; i < total; i += 1) {
    text += line(contact(i), i);
    if (text.length < 60_000) continue;
    yield text;
    text = "";
  }
  yield text;
}

/** A CSV file of so many contacts, until it is disposed. */
export async function writeCsv(total: number): Promise<AsyncDisposable & { file: string }> {
  const folder = await mkdtemp(join(tmpdir(), "callsheet-bench-csv-"));
  const file = join(folder, "contacts.csv");
  const lines = linesOf(total, "phone,name,plan,city\n", (c) => `${c.phone},${c.name},${c.plan},${c.city}\n`);
  await pipeline(Readable.from(lines), createWriteStream(file));
  return { file, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

export const perSecond = (total: number, began: number): number =>
  Math.round(total / ((performance.now() - began) / 1000));
