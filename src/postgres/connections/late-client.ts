import { Client, type ClientConfig } from "pg";

/**
 * A connection that fails when it is made where a file of its URL cannot be read, and not before: a pool makes its
 * connections by itself, and nobody would catch what the driver throws there.
 */
export class LateClient extends Client {
  constructor(config?: string | ClientConfig) {
    try {
      super(config);
    } catch (error) {
      super();
      const fail = (callback?: (thrown: unknown) => void) =>
        callback === undefined ? Promise.reject(error) : process.nextTick(callback, error);
      this.connect = fail as Client["connect"];
    }
  }
}
