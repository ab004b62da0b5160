import { inBase } from "../page/base.ts";
import { noteRefusal } from "./client.ts";
import { errorOf } from "./http-error.ts";
import { proof } from "./proof.ts";

/** Has the browser keep a file of the service's. It is asked for by the page, as a link cannot say who asks. */
export async function download(path: string, name: string): Promise<void> {
  const response = await fetch(inBase(path), { headers: proof }).catch((thrown: unknown) => {
    noteRefusal(thrown);
    throw thrown;
  });
  if (!response.ok) {
    const error = await errorOf(response);
    noteRefusal(error);
    throw error;
  }
  saveFile(await response.blob(), name);
}

/** Has the browser keep a file that the page has. */
export function saveFile(file: Blob, name: string): void {
  const url = URL.createObjectURL(file);
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  // By then the browser has taken what it needs.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
