import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { createSecret, signature } from "../../src/webhooks/signing.ts";

const id = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W";
const body = '{"type":"batch_job.started","timestamp":"2026-11-27T06:00:00.000Z","data":{"name":"Zoë 😀"}}';
const headersOf = (timestamp: number, signed: string) => ({
  "webhook-id": id,
  "webhook-timestamp": String(timestamp),
  "webhook-signature": signed,
});
const nowSeconds = () => Math.floor(Date.now() / 1_000);

describe("what is signed", () => {
  test("is found right by the reference's own verification, with each of the secrets and no other", () => {
    const [old, young, other] = [createSecret(), createSecret(), createSecret()];
    const headers = headersOf(nowSeconds(), signature([old, young], id, nowSeconds(), body));
    for (const secret of [old, young])
      expect(new Webhook(secret).verify(body, headers)).toEqual(JSON.parse(body));
    expect(() => new Webhook(other).verify(body, headers)).toThrow("No matching signature found");
  });

  test("is what the reference's own signing makes of it", () => {
    const secret = createSecret();
    const at = new Date("2026-11-27T06:00:00Z");
    expect(signature([secret], id, at.getTime() / 1_000, body)).toBe(new Webhook(secret).sign(id, at, body));
  });

  test.each<[string, { body?: string } & Partial<ReturnType<typeof headersOf>>]>([
    ["its body", { body: body.replace("started", "deleted") }],
    ["its id", { "webhook-id": "msg_other" }],
    ["its time", { "webhook-timestamp": String(nowSeconds() - 1) }],
  ])("holds no more with another one of %s", (_, { body: sent = body, ...headers }) => {
    const secret = createSecret();
    const right = headersOf(nowSeconds(), signature([secret], id, nowSeconds(), body));
    expect(() => new Webhook(secret).verify(sent, { ...right, ...headers })).toThrow(
      "No matching signature found",
    );
  });

  test("is signed as the standard's own example is", () => {
    const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const example = [
      "msg_p5jXN8AQM9LWM0D4loKWxJek",
      1_614_265_330,
      '{"test": 2432232314}',
      "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ] as const;
    expect(signature([secret], example[0], example[1], example[2])).toBe(example[3]);
  });
});

test("every secret is another one, of 24 to 64 bytes in base64", () => {
  const secrets = Array.from({ length: 100 }, createSecret);
  expect(new Set(secrets).size).toBe(100);
  for (const secret of secrets) {
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]+={0,2}$/);
    const { length } = Buffer.from(secret.slice(6), "base64");
    expect(length).toBeGreaterThanOrEqual(24);
    expect(length).toBeLessThanOrEqual(64);
  }
});
