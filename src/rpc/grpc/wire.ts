import type { ConnectError } from "@connectrpc/connect";
import type { ServerInterceptingCallInterface } from "@grpc/grpc-js";

/** The bytes of one call: reads and writes are made one at a time, and both reject once it is cut. */
export type GrpcWire = {
  /** Answers undefined at the end of the request. */
  read(): Promise<Buffer | undefined>;
  /** Resolves when the message has left, which a client that does not read can put off for ever. */
  write(message: Buffer): Promise<void>;
  /** To be told what grpc-js receives; undefined is the end of the request. */
  received(message: Buffer | undefined): void;
  cut(reason: ConnectError): void;
};

export function createGrpcWire(call: ServerInterceptingCallInterface): GrpcWire {
  let reader: PromiseWithResolvers<Buffer | undefined> | undefined;
  let writer: PromiseWithResolvers<void> | undefined;
  let cutBy: ConnectError | undefined;
  return {
    async read() {
      if (cutBy) throw cutBy;
      reader = Promise.withResolvers();
      call.startRead();
      const message = await reader.promise;
      if (!message && cutBy) throw cutBy;
      return message;
    },
    write(message) {
      if (cutBy) return Promise.reject(cutBy);
      writer = Promise.withResolvers();
      call.sendMessage(message, writer.resolve);
      return writer.promise;
    },
    received(message) {
      // A request that broke off looks as if it had ended. Asked for more, grpc-js notices, and it cuts before read()
      // goes on.
      if (!message) call.startRead();
      reader?.resolve(message);
    },
    cut(reason) {
      cutBy ??= reason;
      reader?.reject(cutBy);
      writer?.reject(cutBy);
    },
  };
}
