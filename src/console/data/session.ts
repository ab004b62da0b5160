import { signal } from "@preact/signals";

const storageKey = "callsheet-api-key";

/** Who is signed in. The key stays in this tab's session storage: it is gone when the tab is. */
export type Session = { readonly apiKey: string; readonly mayCreate: boolean };

function restore(): Session | undefined {
  const [apiKey = "", mayCreate = ""] = (sessionStorage.getItem(storageKey) ?? "").split(" ");
  return apiKey === "" ? undefined : { apiKey, mayCreate: mayCreate === "create" };
}

export const session = signal<Session | undefined>(restore());

/** Why the page asks for a key again; empty if it is the first time. */
export const signOutReason = signal("");

export function signIn(next: Session): void {
  sessionStorage.setItem(storageKey, `${next.apiKey} ${next.mayCreate ? "create" : "read"}`);
  signOutReason.value = "";
  session.value = next;
}

export function signOut(reason: string): void {
  sessionStorage.removeItem(storageKey);
  signOutReason.value = reason;
  session.value = undefined;
}
