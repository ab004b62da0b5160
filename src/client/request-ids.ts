import { randomUUID } from "node:crypto";
import {
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
  clone,
  create,
} from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import type { ReflectMessage } from "@bufbuild/protobuf/reflect";

function giveId(message: ReflectMessage): void {
  const id = message.desc.field["requestId"];
  if (id?.fieldKind === "scalar" && message.get(id) === "") message.set(id, randomUUID());
}

/**
 * The request with a request id, wherever it takes one and has none: its own, and that of `lease_next`. Its repeats are
 * then known for what they are. What the caller gave is left as it is.
 */
export function withRequestIds<D extends DescMessage>(desc: D, input: MessageInitShape<D>): MessageShape<D> {
  const message = clone(desc, create(desc, input));
  const fields = reflect(desc, message);
  giveId(fields);
  const next = desc.field["leaseNext"];
  if (next?.fieldKind === "message" && fields.isSet(next)) giveId(fields.get(next));
  return message;
}
