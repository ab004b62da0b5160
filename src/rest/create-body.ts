import { BatchJobError } from "../domain/batch-job-error.ts";
import type { ContactInput, FlawedInput } from "../domain/contacts/contact.ts";
import { contactsOfFile } from "../jobs/import/contacts-of-file.ts";
import { defaultLimits } from "../jobs/import/pieces.ts";
import { mostFileBytes, readForm } from "./form.ts";
import { parse, parseJson, parseTexts, refuse, toContactInput } from "./input.ts";
import type { Given } from "./route.ts";
import { createBody, mostContacts, settingsForm } from "./openapi/schemas.ts";

export type NewJobBody = {
  readonly settings: ReturnType<typeof readSettings>;
  readonly contacts: readonly (ContactInput | FlawedInput)[];
  readonly isFile: boolean;
};

const readSettings = (texts: Iterable<[string, string]>) => parseTexts(settingsForm, texts);

async function* only(bytes: Uint8Array) {
  yield bytes;
}

async function fromForm({ contentType, bytes }: Given): Promise<NewJobBody> {
  const form = await readForm(contentType, bytes);
  const settings = readSettings(form.texts);
  if (form.file === undefined) throw refuse("file", "The form must have a CSV file in the part named file.");
  const contacts = await contactsOfFile(only(form.file), {
    limits: { ...defaultLimits, maxBytes: mostFileBytes },
    mostRows: mostContacts,
  });
  return { settings, contacts, isFile: true };
}

function fromJson({ bytes }: Given): NewJobBody {
  const { contacts, ...settings } = parse(createBody, parseJson(bytes));
  return { settings, contacts: contacts.map(toContactInput), isFile: false };
}

/** A new job as JSON, or as a form with a file. */
export const readNewJob = async (given: Given): Promise<NewJobBody> =>
  isForm(given.contentType) ? fromForm(given) : fromJson(given);

const isForm = (contentType: string): boolean => /^multipart\/form-data\b/i.test(contentType);

/** Says of JSON whose contacts are all wrong what the published pages say: which phone the first of them has. */
export function nameFirstPhone(thrown: unknown, contacts: NewJobBody["contacts"]): unknown {
  if (!(thrown instanceof BatchJobError) || thrown.metadata["firstReason"] !== "invalid_phone_format")
    return thrown;
  const firstPhone = (contacts[0]?.phone ?? "").slice(0, 50).toWellFormed();
  return new BatchJobError(thrown.reason, thrown.message, { ...thrown.metadata, firstPhone });
}
