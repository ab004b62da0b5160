import { hash, randomBytes } from "node:crypto";

const keyPattern = /^cs_[A-Za-z0-9_-]{32,256}$/;

/** True for what may be an API key: `cs_` and at least 32 letters, digits, `-` or `_`. */
export const isApiKey = (text: string): boolean => keyPattern.test(text);

/** What an authorization header gives as a key, and be it none. */
export const keyIn = (authorization: string | undefined): string | undefined =>
  /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];

/** A new API key of 256 random bits. */
export const generateApiKey = (): string => `cs_${randomBytes(32).toString("base64url")}`;

/** What is stored of a key. The key is random, so that a plain hash tells nothing of it. */
export const hashApiKey = (key: string): Buffer => hash("sha256", key, "buffer");
