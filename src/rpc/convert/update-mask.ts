import type { FieldMask } from "@bufbuild/protobuf/wkt";
import { wrongField } from "../../domain/batch-job-error.ts";

/** Whether a request gives a field: a list or a map that is empty is not; messages are told by their type. */
export const isGiven = (value: object | string | number | boolean | undefined): boolean =>
  typeof value === "object" && !("$typeName" in value) ? Object.keys(value).length > 0 : value !== undefined;

/** The fields that the paths of a mask name; `also` is what else a path may be. */
export const namedIn = <N>(
  mask: FieldMask | undefined,
  byPath: ReadonlyMap<string, N>,
  { also = "" }: { readonly also?: string } = {},
): N[] =>
  (mask?.paths ?? []).map((path) => {
    const name = byPath.get(path);
    if (name === undefined) throw wrongField("update_mask", `it may name ${pathsOf(byPath)}${also}`);
    return name;
  });

/**
 * The fields that a request changes: those that its mask names, or those that it gives. Many clients cannot help
 * sending a mask: one that names nothing is none.
 */
export function changedIn<N>(
  mask: FieldMask | undefined,
  byPath: ReadonlyMap<string, N>,
  isIn: (name: N) => boolean,
): N[] {
  const named = namedIn(mask, byPath);
  const changed = named.length > 0 ? named : [...byPath.values()].filter(isIn);
  if (changed.length > 0) return changed;
  throw wrongField("update_mask", `nothing is to be changed; give one of ${pathsOf(byPath)}`);
}

const pathsOf = (byPath: ReadonlyMap<string, unknown>): string => [...byPath.keys()].join(", ");
