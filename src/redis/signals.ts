import { jittered } from "../timing/loop.ts";
import type { RedisClient } from "./connection.ts";

/** About how long to wait before a subscription that failed is tried again. */
const pauseMs = 250;

/**
 * Calls back for every message on a channel. A message may be lost: a signal saves waiting, and nothing rests on it.
 */
export function onMessage(
  subscriber: RedisClient,
  channel: string,
  callback: (message: string) => void,
): void {
  // Once it has succeeded, the client subscribes by itself whenever it connects again, and to whichever node.
  const subscribe = (): void => {
    if (subscriber.status === "end") return;
    subscriber.subscribe(channel).catch(() => setTimeout(subscribe, jittered(pauseMs)).unref());
  };
  subscriber.on("message", (from: string, message: string) => {
    if (from === channel) callback(message);
  });
  if (subscriber.status === "ready") subscribe();
  else subscriber.once("ready", subscribe);
}
