import { type DescMessage, type JsonValue, create } from "@bufbuild/protobuf";
import { toJson } from "virtual:whole-json";

/** A message as the service takes it in JSON. Loaded where it is wanted: the console's own calls are bytes. */
export const jsonOf = (schema: DescMessage, message: object): JsonValue =>
  toJson(schema, create(schema, { ...message })) as JsonValue;
