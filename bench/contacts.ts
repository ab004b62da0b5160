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

/** Twelve sets of time zones, each as large as the others. */
export const twelveZones: readonly string[] = [
  "America/New_York America/Chicago America/Denver America/Los_Angeles America/Sao_Paulo Europe/London",
  "Europe/Paris Europe/Athens Asia/Dubai Asia/Kolkata Asia/Tokyo Australia/Sydney",
].flatMap((names) => names.split(" "));

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

/** A CSV file of so many contacts, until it is disposed; with zones, in these in turn. */
export async function writeCsv(
  total: number,
  zones: readonly string[] = [],
): Promise<AsyncDisposable & { file: string }> {
  const folder = await mkdtemp(join(tmpdir(), "callsheet-bench-csv-"));
  const file = join(folder, "contacts.csv");
  const hasZones = zones.length > 0;
  const head = `phone,name,plan,city${hasZones ? ",timezone" : ""}\n`;
  const lines = linesOf(total, head, (c, i) => {
    const zone = hasZones ? `,${zones[i % zones.length]}` : "";
    return `${c.phone},${c.name},${c.plan},${c.city}${zone}\n`;
  });
  await pipeline(Readable.from(lines), createWriteStream(file));
  return { file, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

export const perSecond = (total: number, began: number): number =>
  Math.round(total / ((performance.now() - began) / 1000));
