import { type DescField, getOption } from "@bufbuild/protobuf";
import { field as fieldRules } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

/**
 * The bounds that the proto sets for a field: of a number, of the characters of a text, or of the elements of a list.
 */
export function boundsOf(field: DescField): { least: number; most: number } {
  const { type } = getOption(field, fieldRules);
  switch (type.case) {
    case "string":
      return bounds(field, type.value.minLen, type.value.maxLen);
    case "repeated":
      return bounds(field, type.value.minItems, type.value.maxItems);
    case "int32":
    case "double": {
      const { greaterThan: above, lessThan: below } = type.value;
      if (above.case === "gte" && below.case === "lte") return bounds(field, above.value, below.value);
    }
  }
  throw new Error(`the proto sets no bounds for ${String(field)}`);
}

function bounds(field: DescField, least: bigint | number, most: bigint | number) {
  if (Number(most) === 0) throw new Error(`the proto sets no upper bound for ${String(field)}`);
  return { least: Number(least), most: Number(most) };
}
