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

/** The phone of the i-th contact as people write it where it is; each is a number that is given out there. */
export function nationalPhone(i: number): string {
  const digits = String(4_152_000_000 + ((i * 7_919) % 8_000_000));
  const [area, exchange, line] = [digits.slice(0, 3), digits.slice(3, 6), digits.slice(6)];
  if (i % 3 === 0) return `(${area}) ${exchange}-${line}`;
  return i % 3 === 1 ? `${area}-${exchange}-${line}` : `1 ${area} ${exchange} ${line}`;
}

export const nationalRegion = "US";

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

/** What is otherwise in a file of contacts: time zones, in turn, and phones that do not say their country. */
export type Written = { readonly zones?: readonly string[]; readonly phones?: "national" };

/** A CSV file of so many contacts, until it is disposed. */
export async function writeCsv(
  total: number,
  { zones = [], phones }: Written = {},
): Promise<AsyncDisposable & { file: string }> {
  const folder = await mkdtemp(join(tmpdir(), "callsheet-bench-csv-"));
  const file = join(folder, "contacts.csv");
  const hasZones = zones.length > 0;
  const head = `phone,name,plan,city${hasZones ? ",timezone" : ""}\n`;
  const lines = linesOf(total, head, (c, i) => {
    const zone = hasZones ? `,${zones[i % zones.length]}` : "";
    return `${phones === undefined ? c.phone : nationalPhone(i)},${c.name},${c.plan},${c.city}${zone}\n`;
  });
  await pipeline(Readable.from(lines), createWriteStream(file));
  return { file, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

export const perSecond = (total: number, began: number): number =>
  Math.round(total / ((performance.now() - began) / 1000));
