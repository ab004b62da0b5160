import type { DescMethod, JsonValue } from "@bufbuild/protobuf";
import { inBase } from "../page/base.ts";

/** As one word of a shell, whatever is in it. */
const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

const atHere = (path: string): string => new URL(inBase(path), location.href).href;

const lines = (...words: readonly string[]): string => words.join(" \\\n  ");

const authorized = `-H "authorization: Bearer $CALLSHEET_API_KEY"`;

/** The call of an RPC at this address, for a shell; the key is a variable of the shell's, never the key itself. */
export function curlOf(method: DescMethod, request: JsonValue): string {
  const curl = `curl ${quoted(atHere(`${method.parent.typeName}/${method.name}`))}`;
  const body = JSON.stringify(request);
  if (method.methodKind === "unary")
    return lines(curl, authorized, `-H 'content-type: application/json'`, `-d ${quoted(body)}`);
  // A message of a stream has its length before it, and so has each of the answer, which is shown without.
  return lines(
    `printf '${lengthOf(body)}%s' ${quoted(body)} | ${curl}`,
    authorized,
    `-H 'content-type: application/connect+json'`,
    `--data-binary @- --silent --output - | tr '\\000' '\\n' | grep -a -o '{".*}'`,
  );
}

/** As a stream of Connect has it: no flags, and four bytes. */
function lengthOf(body: string): string {
  const length = new TextEncoder().encode(body).length;
  const bytes = [0, length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255];
  return bytes.map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}

/** Makes a command for one job, in which the id is named as this variable, one for each of them. */
export const forEach = (variable: string, ids: readonly string[], command: string): string =>
  [
    `for ${variable} in ${ids.join(" ")}; do`,
    command.replaceAll(`$${variable}`, `'"$${variable}"'`),
    "done",
  ].join("\n");

/** Has the shell keep a text of what a command answers as a variable. */
export const keeping = (variable: string, field: string, command: string): string =>
  `${variable}=$(${lines(command, `| sed -n 's/.*"${field}": *"\\([^"]*\\)".*/\\1/p'`)})`;

/** Sends a file with these columns to a job: to this one, or to the one whose id a variable of the shell has. */
export const uploadOf = (job: string, columns: readonly string[], requestId: string): string =>
  [
    `# contacts.csv has the columns ${columns.join(", ")}`,
    lines(
      `curl "${atHere("batch-jobs/")}${job}/contacts.csv?request_id=${requestId}"`,
      authorized,
      `-H 'content-type: text/csv'`,
      `--data-binary '@contacts.csv'`,
    ),
  ].join("\n");

/** Keeps what the service has at this path as a file of this name. */
export const downloadOf = (path: string, file: string): string =>
  lines(`curl ${quoted(atHere(path))}`, authorized, `--fail --output ${quoted(file)}`);
