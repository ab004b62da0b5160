import type { Redis } from "ioredis";
import { afterPatience } from "../timing/patience.ts";

const answerMs = 1_000;
const silenceMs = 4_000;

/**
 * Gives up commands that Redis does not answer in a second, and after four more without a word the connection. It is
 * time that this process has lived through: the client's own limits (`commandTimeout`, `socketTimeout`) end a command
 * whose answer has come and is not read yet, because the process stood still.
 *
 * Commands that are sent in one turn of the event loop leave in one write.
 */
export function makePatient(redis: Redis): Redis {
  delete redis.options.commandTimeout;
  delete redis.options.socketTimeout;
  const send = redis.sendCommand.bind(redis);
  let callOffSilence: (() => void) | undefined;

  function awaitWord(): void {
    const { stream } = redis;
    if (callOffSilence !== undefined || stream === undefined) return;
    const callOff = afterPatience(silenceMs, () => stream.destroy(new Error("Redis does not answer")));
    callOffSilence = () => {
      callOff();
      callOffSilence = undefined;
      stream.off("data", heard).off("close", heard);
    };
    const heard = () => callOffSilence?.();
    stream.once("data", heard).once("close", heard);
  }

  function cork(): void {
    const { stream } = redis;
    if (stream === undefined || stream.writableCorked > 0) return;
    stream.cork();
    process.nextTick(() => stream.uncork());
  }

  redis.sendCommand = (command, stream) => {
    const callOff = afterPatience(answerMs, () => {
      command.reject(new Error("Command timed out"));
      awaitWord();
    });
    command.promise.then(callOff, callOff);
    cork();
    return send(command, stream);
  };
  return redis;
}
