import type { RedisClient } from "./connection.ts";

/** Calls back for every message on a channel. A message may be lost: a signal saves waiting, and nothing rests on it. */
export function onMessage(
  subscriber: RedisClient,
  channel: string,
  callback: (message: string) => void,
): void {
  const subscribe = () => void subscriber.subscribe(channel).catch(() => {});
  subscriber.on("message", (from: string, message: string) => {
    if (from === channel) callback(message);
  });
  // From then on the connection subscribes by itself whenever it comes back.
  if (subscriber.status === "ready") subscribe();
  else subscriber.once("ready", subscribe);
}
