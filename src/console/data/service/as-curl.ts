import type { DescMethod, JsonValue } from "@bufbuild/protobuf";
import { inBase } from "../page/base.ts";

/** As one word of a shell, whatever is in it. */
const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** The call of an RPC at this address, for a shell; the key is a variable of the shell's, never the key itself. */
export function curlOf(method: DescMethod, request: JsonValue): string {
  const url = new URL(inBase(`${method.parent.typeName}/${method.name}`), location.href).href;
  return [
    `curl ${quoted(url)}`,
    `-H "authorization: Bearer $CALLSHEET_API_KEY"`,
    `-H 'content-type: application/json'`,
    `-d ${quoted(JSON.stringify(request))}`,
  ].join(" \\\n  ");
}
