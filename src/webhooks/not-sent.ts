import type { SendFailure } from "../domain/send-failure.ts";

/** Ends an attempt. */
export class NotSent extends Error {
  override readonly name = "NotSent";
  readonly failure: SendFailure;

  constructor(failure: SendFailure) {
    super(failure);
    this.failure = failure;
  }
}
