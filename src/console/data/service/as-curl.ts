import type { DescMethod, JsonValue } from "@bufbuild/protobuf";
import { inBase } from "../page/base.ts";

/** As one word of a shell, whatever is in it. */
const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

const atHere = (path: string): string => new URL(inBase(path), location.href).href;

const lines = (...words: readonly string[]): string => words.join(" \\\n  ");

const authorized = `-H "authorization: Bearer $CALLSHEET_API_KEY"`;

/** The call of an RPC at this address, for a shell; the key is a variable of the shell's, never the key itself. */
export const curlOf = (method: DescMethod, request: JsonValue): string =>
  lines(
    `curl ${quoted(atHere(`${method.parent.typeName}/${method.name}`))}`,
    authorized,
    `-H 'content-type: application/json'`,
    `-d ${quoted(JSON.stringify(request))}`,
  );

/** Has the shell keep a text of what a command answers as a variable. */
export const keeping = (variable: string, field: string, command: string): string =>
  `${variable}=$(${lines(command, `| sed -n 's/.*"${field}": *"\\([^"]*\\)".*/\\1/p'`)})`;

/** Sends a file of contacts to the job whose id the shell keeps as a variable. */
export const uploadOf = (file: string, variable: string, requestId: string): string =>
  lines(
    `curl "${atHere("batch-jobs/")}$${variable}/contacts.csv?request_id=${requestId}"`,
    authorized,
    `-H 'content-type: text/csv'`,
    `--data-binary ${quoted(`@${file}`)}`,
  );
