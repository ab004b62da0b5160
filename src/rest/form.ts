import { setImmediate as nextTurn } from "node:timers/promises";
import { Busboy } from "@fastify/busboy";
import { tooLarge } from "../rpc/requests/limits.ts";
import { refuse, refuseName } from "./input.ts";

export type Form = { readonly texts: readonly [string, string][]; readonly file: Buffer | undefined };

export const mostFileBytes = 10 * 1024 * 1024;
/** Of a new job, as a form with its file, or as JSON, in which as many contacts have room. */
export const mostBodyBytes = mostFileBytes + 1024 * 1024;

/** More than any setting needs. */
const most = { fieldNameSize: 100, fieldSize: 16 * 1024, fields: 50, files: 1, parts: 51, headerPairs: 20 };

const malformed = () =>
  refuse("", "The body is not a whole multipart/form-data form; send it again (curl: -F file=@FILE).");

const nameless = () => refuse("", "A part of the form has no name; give each one its own.");

function createParser(contentType: string) {
  try {
    return new Busboy({
      headers: { "content-type": contentType },
      limits: { ...most, fileSize: mostFileBytes },
    });
  } catch {
    throw malformed();
  }
}

/** Small enough to be gone through in a moment, however many parts are in it. */
const pieceBytes = 64 * 1024;

/** The parts of a form that has come to its end; throws unless it has one. */
export async function readForm(contentType: string, body: Uint8Array): Promise<Form> {
  const texts: [string, string][] = [];
  let file: Buffer[] | undefined;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // It may be refused while the rest of it waits for its turn.
  promise.catch(() => {});
  const refused = new AbortController();
  const refuseForm = (reason: unknown) => {
    refused.abort();
    reject(reason);
  };
  const parser = createParser(contentType);
  parser.on("field", (name: string | undefined, value, _isNameCut, isValueCut) => {
    if (name === undefined) return refuseForm(nameless());
    if (name === "file")
      return refuseForm(refuse(name, "The part named file must have a filename (curl: -F file=@FILE)."));
    if (isValueCut) refuseForm(refuseName(name, "A part of the form is too long for what it is."));
    texts.push([name, value]);
  });
  parser.on("file", (name: string | undefined, stream) => {
    if (name === undefined) refuseForm(nameless());
    else if (name !== "file")
      refuseForm(refuseName(name, "The file must be in the part that is named file."));
    const chunks: Buffer[] = [];
    file = chunks;
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("limit", () => refuseForm(tooLarge(mostFileBytes)));
    stream.on("error", () => refuseForm(malformed()));
  });
  parser.on("filesLimit", () => refuseForm(refuse("file", "The form has more than one file; send one.")));
  for (const limit of ["fieldsLimit", "partsLimit"] as const)
    parser.on(limit, () => refuseForm(refuse("", `The form has more than ${most.fields} parts.`)));
  parser.on("error", () => refuseForm(malformed()));
  parser.on("finish", resolve);
  try {
    for (let at = 0; at < body.length && !refused.signal.aborted; at += pieceBytes) {
      parser.write(body.subarray(at, at + pieceBytes));
      await nextTurn();
    }
    if (!refused.signal.aborted) parser.end();
    await promise;
  } finally {
    parser.destroy();
  }
  return { texts, file: file && Buffer.concat(file) };
}
