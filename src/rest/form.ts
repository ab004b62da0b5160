import { Busboy } from "@fastify/busboy";
import { tooLarge } from "../rpc/requests/limits.ts";
import { refuse } from "./input.ts";

export type Form = { readonly texts: readonly [string, string][]; readonly file: Buffer | undefined };

export const mostFileBytes = 10 * 1024 * 1024;
/** With what stands beside the file. */
export const mostFormBytes = mostFileBytes + 1024 * 1024;

/** More than any setting needs. */
const most = { fieldNameSize: 100, fieldSize: 16 * 1024, fields: 50, files: 1, parts: 51, headerPairs: 20 };

const malformed = () =>
  refuse("", "The body is not a whole multipart/form-data form; send it again (curl: -F file=@FILE).");

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

/** The parts of a form that has come to its end; throws unless it has one. */
export async function readForm(contentType: string, body: Uint8Array): Promise<Form> {
  const texts: [string, string][] = [];
  let file: Buffer[] | undefined;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const parser = createParser(contentType);
  parser.on("field", (name, value, isNameCut, isValueCut) => {
    if (isNameCut || isValueCut) reject(refuse(name, "A part of the form is too long for what it is."));
    texts.push([name, value]);
  });
  parser.on("file", (name, stream) => {
    if (name !== "file") reject(refuse(name, "The file must be in the part that is named file."));
    const chunks: Buffer[] = [];
    file = chunks;
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("limit", () => reject(tooLarge(mostFileBytes)));
    stream.on("error", () => reject(malformed()));
  });
  parser.on("filesLimit", () => reject(refuse("file", "The form has more than one file; send one.")));
  for (const limit of ["fieldsLimit", "partsLimit"] as const)
    parser.on(limit, () => reject(refuse("", `The form has more than ${most.fields} parts.`)));
  parser.on("error", () => reject(malformed()));
  parser.on("finish", resolve);
  parser.end(body);
  try {
    await promise;
  } finally {
    parser.destroy();
  }
  return { texts, file: file && Buffer.concat(file) };
}
