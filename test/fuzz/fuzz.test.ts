import { randomBytes } from "node:crypto";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { sql } from "kysely";
import { afterAll, expect, inject, test } from "vitest";
import { persistent } from "../../src/client/persistent.ts";
import { AccessService } from "../../src/gen/callsheet/v1/access_service_pb.ts";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../src/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { openDatabase } from "../../src/postgres/connections/database.ts";
import { invariants } from "../../src/postgres/schema/invariants.ts";
import { createAuthorityFiles } from "../support/servers/certificate-files.ts";
import { cloneDatabase } from "../support/database.ts";
import { type Random, createRandom, seedFrom } from "../support/random.ts";
import { everyMethod } from "../service/every-rpc.ts";
import { makeCall, shown } from "./calls.ts";
import { type Verdict, judge } from "./judge.ts";
import { sendRaw } from "./raw-bytes.ts";
import { startMeasuredReplica } from "./replica.ts";
import { openHttp1, openHttp2 } from "./send.ts";
import { personal } from "./words.ts";
import { type World, createWorld, endWorld, keyOf, workAJob } from "./world.ts";

/** So many are enough for nearly all RPCs to be called well in both forms. */
const usualInputs = 5_000;
const inputs = Number(process.env["FUZZ"] ?? usualInputs);
/** Where there is time for it, a part of them comes over TLS. */
const isLong = inputs > usualInputs;
/** What all of them follow from, but for the ids of what there is. */
const seed = Number(process.env["FUZZ_SEED"] ?? 17);
/** One input alone. */
const only = process.env["FUZZ_INPUT"];

/** Each world has so many inputs, so many of them at once, and so many worlds are there at the same time. */
const worldInputs = 500;
const atOnce = 32;
const worldsAtOnce = 3;
const inputsBetweenLooks = isLong ? 10_000 : 1_000;

const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync(), 60_000);
const database = stack.use(await cloneDatabase());

const settings = {
  DATABASE_URL: database.url,
  REDIS_URL: inject("redisUrl"),
  REDIS_PREFIX: `test-${randomBytes(6).toString("hex")}`,
  // Who waits for a contact is not what this is about.
  LONGEST_WAIT: "0.1",
  WEBHOOK_ALLOW_INSECURE: "true",
  ERASURE_KEY: "erasure-".repeat(4),
};

/** A replica, and the ways in. */
async function openReplica(tls: "TLS" | "plain text") {
  const files: Record<string, string> = {};
  if (tls === "TLS") {
    const authority = stack.use(await createAuthorityFiles());
    const { certificate, key } = await authority.issue(["127.0.0.1"]);
    Object.assign(files, { TLS_CERT_FILE: certificate, TLS_KEY_FILE: key });
  }
  const replica = stack.use(await startMeasuredReplica({ ...settings, ...files }));
  const { port, grpcPort } = replica;
  const isTls = tls === "TLS";
  const scheme = isTls ? "https" : "http";
  return {
    ...replica,
    overGrpc: stack.use(openHttp2(`${scheme}://127.0.0.1:${grpcPort}`)),
    overHttp: stack.use((isTls ? openHttp2 : openHttp1)(`${scheme}://127.0.0.1:${port}`)),
    raw: [
      { port, isTls },
      { port: grpcPort, isTls },
    ],
  };
}
const plain = await openReplica("plain text");
const replicas = isLong ? [plain, await openReplica("TLS")] : [plain];

const db = openDatabase({ url: database.url, poolSize: 2 });
stack.defer(() => db.destroy());
/** Whoever makes worlds, and works in them, comes again where the service is busy. */
const transport = persistent(createGrpcTransport({ baseUrl: `http://127.0.0.1:${plain.grpcPort}` }), {
  timeoutMs: 60_000,
});
const ordinaryKey = await keyOf(db, "ordinary");

const openServices = [Health, ServerReflection, ServerReflectionAlpha];
const methods = [...everyMethod, ...openServices.flatMap((service) => service.methods)];

const strange = `Bearer cs_${"w".repeat(43)}`;

/** Who calls: mostly somebody who may. */
function authorizationFor(isChangeable: boolean, { apiKey, changeableKey }: World, random: Random): string {
  if (random.chance(0.97)) return `Bearer ${isChangeable ? changeableKey : apiKey}`;
  return random.pick(["", "Bearer ", "Basic x", "Bearer cs_short", strange]);
}

/** Plays one input: all of it follows from its number and the seed. */
async function play(number: number, world: World): Promise<Verdict & { what: string }> {
  const random = createRandom(seedFrom(seed, String(number)));
  const { raw, overGrpc, overHttp } = random.chance(0.8) ? plain : random.pick(replicas);
  if (random.chance(0.1)) return { what: "raw bytes", ...(await sendRaw(random.pick(raw), random)) };
  const method = random.pick(methods);
  const authorization = authorizationFor(method === AccessService.method.updateOrganization, world, random);
  const asked = makeCall(method, { authorization, words: world.words, random });
  const answered = await (asked.protocol === "gRPC" ? overGrpc : overHttp).send(asked);
  const { answer, fault } = judge(asked, answered);
  return {
    what: `${method.name} as ${asked.form}`,
    answer,
    fault: fault && `${fault}\n  of ${shown(asked)}`,
  };
}

/** How often each input was answered in each way, and what was wrong. */
const answers = new Map<string, Map<string, number>>();
const faults: string[] = [];

function note(number: number, { what, answer, fault }: Verdict & { what: string }): void {
  const counts = answers.get(what) ?? new Map<string, number>();
  answers.set(what, counts.set(answer, (counts.get(answer) ?? 0) + 1));
  if (fault === undefined) return;
  const found = `FUZZ=${inputs} FUZZ_SEED=${seed} FUZZ_INPUT=${number} ${what}: ${fault}`;
  faults.push(found);
  if (isLong) process.stdout.write(`${found}\n`);
}

/** Plays these inputs, many at once, on what is new and whole. */
async function playInWorld(from: number, to: number): Promise<void> {
  const world = await createWorld(db, transport, `fuzz ${from}`);
  const numbers = Array.from({ length: to - from }, (_, i) => from + i).values();
  const playOn = async () => {
    for (const number of numbers) note(number, await play(number, world));
  };
  await Promise.all(Array.from({ length: atOnce }, playOn));
  await endWorld(transport, world);
}

/** Plays these inputs, in one world after the other, some at the same time. */
async function playAll(from: number, to: number): Promise<void> {
  const starts = Array.from(
    { length: Math.ceil((to - from) / worldInputs) },
    (_, i) => from + i * worldInputs,
  );
  const rest = starts.values();
  const playOn = async () => {
    for (const start of rest) await playInWorld(start, Math.min(to, start + worldInputs));
  };
  await Promise.all(Array.from({ length: worldsAtOnce }, playOn));
}

/** How many inputs there were in how much time, and how they were answered. */
function figures(beganMs: number): string {
  const all = new Map<string, number>();
  for (const [answer, count] of [...answers.values()].flatMap((counts) => [...counts]))
    all.set(answer, (all.get(answer) ?? 0) + count);
  const seconds = Math.round((performance.now() - beganMs) / 1_000);
  const played = [...all.values()].reduce((sum, count) => sum + count);
  const kinds = [...all].toSorted(([, a], [, b]) => b - a).map(([answer, count]) => `${answer} ${count}`);
  return `${played} inputs in ${seconds} s: ${kinds.join(", ")}`;
}

/** What the proto has, in both forms, that never once was answered well. */
const neverWell = () =>
  everyMethod
    .flatMap(({ name }) => [`${name} as json`, `${name} as proto`])
    .filter((what) => !answers.get(what)?.has("ok"));

/** What the replicas said that looks so; a few lines of it. */
const linesWith = (isSo: (line: string) => boolean): string[] =>
  replicas.flatMap(({ said }) => said().split("\n").filter(isSo).slice(0, 3));

async function brokenInvariants() {
  const broken: { what: string; row: unknown }[] = [];
  // One after the other: after a long run each reads much, and nobody waits long for a connection.
  for (const [what, query] of Object.entries(invariants(sql<boolean>`true`))) {
    const { rows } = await query.execute(db);
    broken.push(...rows.map((row) => ({ what, row })));
  }
  return broken;
}

test.skipIf(only === undefined)("one input, again", async () => {
  const world = await createWorld(db, transport, "again");
  const { what, answer, fault } = await play(Number(only), world);
  process.stdout.write(`${what}: ${answer}\n`);
  expect(fault).toBeUndefined();
});

test.skipIf(only !== undefined)(
  "whatever comes is answered as it is promised, by a service that stays as it is",
  { timeout: 120_000 + inputs * 20 },
  async () => {
    const began = performance.now();
    const heaps: number[] = [];
    for (let from = 0; from < inputs; from += inputsBetweenLooks) {
      await playAll(from, Math.min(inputs, from + inputsBetweenLooks));
      // Then somebody else works, as if nothing had been.
      expect(await workAJob(transport, ordinaryKey)).toBe(5);
      heaps.push(await plain.heap());
      if (isLong) process.stdout.write(`${figures(began)}; heap ${heaps.at(-1)} MB\n`);
    }
    process.stdout.write(`seed ${seed}: ${figures(began)}; heap ${heaps.join(", ")} MB\n`);

    expect(faults.slice(0, 20), `${faults.length} faults of seed ${seed}`).toEqual([]);
    expect(replicas.filter(({ hasEnded }) => hasEnded())).toEqual([]);
    expect((heaps.at(-1) ?? 0) - (heaps[0] ?? 0), `heap: ${heaps.join(", ")} MB`).toBeLessThan(20);
    // A fuzz that is refused at the door tries nothing.
    const mostNever = inputs < usualInputs ? Infinity : everyMethod.length / 4;
    expect(neverWell().length, `never well: ${neverWell().join(", ")}`).toBeLessThan(mostNever);
    expect(await brokenInvariants()).toEqual([]);
    expect(linesWith((line) => /"level":(50|60)|unexpected error|uncaught|unhandled/i.test(line))).toEqual(
      [],
    );
    const secrets = [personal.name, personal.phone, ordinaryKey, strange];
    const hasSecret = (text: string) => secrets.some((secret) => text.includes(secret));
    // The log names requests by their ids, whatever callers have made these of.
    expect(linesWith((line) => hasSecret(line.replace(/"requestId":"(?:[^"\\]|\\.)*"/, "")))).toEqual([]);
  },
);
