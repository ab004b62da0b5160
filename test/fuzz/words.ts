import { eventTypes } from "../../src/domain/event.ts";
import type { Random } from "../support/random.ts";

/** What the service gave out, by what it is. */
export type Vocabulary = {
  readonly jobIds: readonly string[];
  readonly leaseIds: readonly string[];
  readonly pageTokens: readonly string[];
  readonly apiKeyIds: readonly string[];
  readonly endpointIds: readonly string[];
  readonly importIds: readonly string[];
};

/** Texts about people have this in them, or are phone numbers that begin so: no line of a log may. */
export const personal = { name: "Zwiebelfisch", phone: "+1415999" };

const zones = ["", "UTC", "utc", "America/New_York", "Asia/Kathmandu", "Etc/GMT+12"];
const oddZones = ["Mars/Olympus", "+05:30", "../../etc/passwd", "__proto__", "Europe/Berlin\0"];
const times = [
  "2035-03-01T10:00",
  "2035-03-01T10:00:00.123456789+05:00",
  "9999-12-31T00:00Z",
  "2035-02-28T23:59:59.9",
];
const oddTimes = [
  "2001-01-01T00:00Z",
  "2035-03-11T02:30",
  "0000-00-00T00:00",
  "-271821-04-20T00:00Z",
  "+275760-09-13T00:00Z",
  "2035-02-30T10:00",
  "2035-03-01T24:00",
  "2035-03-01T10:00+99:99",
  "٢٠٣٥-03-01T10:00",
];
/** Where nobody listens, beside where nothing may be sent. */
export const endpointUrl = "http://127.0.0.1:1/events";
const oddUrls = [
  "https://10.0.0.1/",
  "http://127.0.0.1:1/#a",
  "http://user:a@127.0.0.1/",
  "ftp://127.0.0.1/",
  "//",
  "[::1]",
];
const traces = ["", `00-${"ab".repeat(16)}-${"cd".repeat(8)}-01`, `ff-${"0".repeat(32)}`, "00-x-y-z"];

const odd = [
  "",
  " ",
  "0",
  "-1",
  "null",
  "__proto__",
  "constructor",
  "toString",
  "\0",
  "a\0b",
  "%",
  "%s%n",
  "\ud83e",
  "\u202e\u0000",
  "e\u0301".repeat(20),
  "'; drop table batch_jobs; --",
  "{{7*7}}",
  "\r\nx: y",
  "\uffff",
  "\\u0000",
  "👨‍👩‍👧‍👦".repeat(40),
];

/** A text that nobody meant. */
export function oddText(random: Random): string {
  if (random.chance(0.7)) return random.pick(odd);
  if (random.chance(0.8)) return `${personal.name} ${random.pick(odd)}`;
  return random.pick([personal.name, "x", "é", "\n"]).repeat(random.pick([1, 65, 129, 201, 1_001, 5_000]));
}

/** A text that was given out, or the same with one letter changed, taken away or doubled. */
function altered(text: string, random: Random): string {
  if (random.chance(0.9) || text === "") return text;
  const at = random.between(0, text.length - 1);
  const by = random.pick(["", "A", "0", "-", "é", `${text[at]}${text[at]}`]);
  return text.slice(0, at) + by + text.slice(at + 1);
}

const mostly = <T>(usual: readonly T[], others: readonly T[], random: Random): T =>
  random.pick(random.chance(0.85) ? usual : others);

const phoneOf = (random: Random) => `${personal.phone}${String(random.between(0, 9_999)).padStart(4, "0")}`;

type Words = (words: Vocabulary, random: Random) => string;
const jobId: Words = ({ jobIds }, random) => altered(random.pick(jobIds), random);
const leaseId: Words = ({ leaseIds }, random) => altered(random.pick(leaseIds), random);

const phone: Words = (_, random) =>
  random.chance(0.85)
    ? phoneOf(random)
    : `${phoneOf(random)}${random.pick(["x", "0".repeat(20), " ", "\0", "\u200e"])}`;

/** What fields take that no rule of the proto tells, by their names. */
const byName: Readonly<Record<string, Words>> = {
  batch_job_id: jobId,
  batch_job_ids: jobId,
  lease_id: leaseId,
  lease_ids: leaseId,
  api_key_id: ({ apiKeyIds }, random) => altered(random.pick(apiKeyIds), random),
  page_token: ({ pageTokens }, random) =>
    random.chance(0.5) ? "" : altered(random.pick(pageTokens), random),
  webhook_endpoint_id: ({ endpointIds }, random) => altered(random.pick(endpointIds), random),
  import_id: ({ importIds }, random) => altered(random.pick(importIds), random),
  types: (_, random) => mostly(eventTypes, ["batch_job.exploded"], random),
  url: (_, random) => mostly([endpointUrl], oddUrls, random),
  request_id: (_, random) => (random.chance(0.6) ? "" : `request ${random.between(0, 300)}`),
  phone,
  phones: phone,
  timezone: (_, random) => mostly(zones, oddZones, random),
  scheduled_start_time: (_, random) => mostly(times, ["", ...oddTimes], random),
  traceparent: (_, random) => random.pick(traces),
  name_contains: (_, random) => random.pick(["", "e", "%", "_", "\\", personal.name]),
  file_containing_symbol: (_, random) =>
    random.pick(["callsheet.v1.BatchJobService", "google.rpc.ErrorInfo", ".", "callsheet"]),
  file_by_filename: (_, random) =>
    random.pick(["callsheet/v1/batch_job.proto", "../package.json", "google/rpc/status.proto"]),
  service: (_, random) => random.pick(["", "callsheet.v1.BatchJobService", "callsheet"]),
};

/** What a field of this name takes, mostly; undefined if any text will do. */
export const wordsFor = (field: string): Words | undefined =>
  Object.hasOwn(byName, field) ? byName[field] : undefined;
