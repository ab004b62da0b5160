import type { ClientConfig } from "pg";
import { afterPatience } from "../../timing/patience.ts";
import { LateClient } from "./late-client.ts";

const patienceMs = 1_500;

/**
 * A connection, made at once, that is given up if it takes too much patience. A stall of this process does not end it.
 */
export class PatientClient extends LateClient {
  constructor(config?: string | ClientConfig) {
    super(config);
    const callOff = afterPatience(patienceMs, () => this.connection.stream.destroy());
    this.on("connect", callOff);
    this.on("end", callOff);
  }
}
