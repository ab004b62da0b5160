/** A new id for a command, under which it may be repeated. Works without TLS too, unlike crypto.randomUUID. */
export const newRequestId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
