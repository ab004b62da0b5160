import { createHmac, randomBytes } from "node:crypto";

/*
 * Standard Webhooks 1.0.0: https://www.standardwebhooks.com
 */

const prefix = "whsec_";

/** A new secret, with as many random bits as the signatures made with it have. */
export const createSecret = (): string => `${prefix}${randomBytes(32).toString("base64")}`;

/** What `webhook-signature` says of a message that is sent at this second: one signature for each of the secrets. */
export const signature = (
  secrets: readonly string[],
  id: string,
  timestampSeconds: number,
  body: string,
): string =>
  secrets
    .map((secret) => createHmac("sha256", Buffer.from(secret.slice(prefix.length), "base64")))
    .map((hmac) => `v1,${hmac.update(`${id}.${timestampSeconds}.${body}`).digest("base64")}`)
    .join(" ");
