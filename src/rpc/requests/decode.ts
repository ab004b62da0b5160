import { type DescMessage, type Message, create } from "@bufbuild/protobuf";
import { undecodable } from "../calls/undecodable.ts";
import type { LargeTurns } from "./large-turns.ts";
import type { Form, RequestLimits } from "./limits.ts";
import type { Parts } from "./parts.ts";

/** Takes a turn for a message of so many bytes, as its organization has them. */
export type Turn = (bytes: number) => ReturnType<LargeTurns["take"]>;

type Rules = { readonly limits: RequestLimits; readonly turn: Turn };

/** Looks through a message, a large one in some turns; answers the parts of it. */
export async function checkInTurns(bytes: Uint8Array, form: Form, { limits, turn }: Rules): Promise<Parts> {
  const steps = limits.check(bytes, form);
  for (;;) {
    (await turn(bytes.length))();
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** Looks through a message and decodes it, a large one part by part, each in a turn of its own. */
export async function decodeInTurns(
  desc: DescMessage,
  bytes: Uint8Array,
  form: Form,
  rules: Rules,
): Promise<Message> {
  const parts = await checkInTurns(bytes, form, rules);
  const message = create(desc);
  for (const merge of parts) {
    (await rules.turn(bytes.length))();
    try {
      merge(message);
    } catch {
      throw undecodable(desc);
    }
  }
  return message;
}
