// A job of 1,000,000 contacts through the API: created empty, filled by 100 × AddContacts, started. Prints how long each
// step takes, and the largest resident memory that the service's process had by the end of it.
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { startFreshService } from "./fresh-service.ts";

const print = (line: string): void => void process.stdout.write(`${line}\n`);

async function peakMegabytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Math.round(Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1]) / 1024);
}

await using service = await startFreshService();
const { client, pid } = service;
const redis = new Redis(service.redisUrl);

async function step<T>(name: string, work: () => Promise<T>): Promise<T> {
  const began = performance.now();
  const result = await work();
  const seconds = ((performance.now() - began) / 1000).toFixed(2);
  print(`| ${name} | ${seconds} | ${await peakMegabytes(pid)} |`);
  return result;
}

print("| step | seconds | peak memory of the service, MB |");
print("|---|---|---|");
const { batchJobId } = await step("create", () =>
  client.createBatchJob({ name: "million", fromPhoneNumberId: "pn_1" }),
);
await step("100 × AddContacts of 10,000", async () => {
  for (let call = 0; call < 100; call += 1) {
    const contacts = Array.from({ length: 10_000 }, (_, i) => ({
      phone: `+1${4_150_000_000 + call * 10_000 + i}`,
      name: `Contact ${call * 10_000 + i + 1}`,
      fields: { plan: "basic" },
    }));
    await client.addContacts({ batchJobId, contacts });
  }
});
await step("start, all on the list", async () => {
  await step("start, answered", () => client.startBatchJob({ batchJobId }));
  const [key = ""] = await redis.keys(`*${batchJobId}:contacts`);
  while ((await redis.llen(key)) < 1_000_000) await delay(10);
});
redis.disconnect();
