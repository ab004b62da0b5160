import { signal } from "@preact/signals";
import { Role } from "../../../gen/callsheet/v1/options_pb.ts";
import { inBase } from "../page/base.ts";
import { errorOf } from "./http-error.ts";
import { proof } from "./proof.ts";

/** Whose key it is that the browser keeps, in a cookie that no script reads. */
export type Session = { readonly name: string; readonly role: Role; readonly organizationName: string };

/** "unknown" until the service has said who is signed in. */
export const session = signal<Session | "unknown" | undefined>("unknown");

/** Why the page asks for a key again; empty if it is the first time. */
export const signOutReason = signal("");

/** The roles that change things. */
const changing: ReadonlySet<Role> = new Set([Role.OPERATOR, Role.ADMIN]);

const roleOf = () => (typeof session.value === "object" ? session.value.role : undefined);

export const mayChange = (): boolean => changing.has(roleOf() ?? Role.UNSPECIFIED);
export const isAdmin = (): boolean => roleOf() === Role.ADMIN;

/** What one tab does counts for all tabs: they have one cookie. */
const tabs = new BroadcastChannel("callsheet-session");
tabs.addEventListener("message", ({ data }: MessageEvent<"in" | "out">) => {
  if (data === "out") forget("");
  else location.reload();
});

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel has none
const tell = (what: "in" | "out"): void => tabs.postMessage(what);

function forget(reason: string): void {
  signOutReason.value = reason;
  session.value = undefined;
}

/** What the service says of the key in the cookie, or in these headers; rejects as the service does. */
export async function askSession(headers: Record<string, string> = {}): Promise<Session> {
  const response = await fetch(inBase("session"), { method: "POST", headers: { ...proof, ...headers } });
  if (!response.ok) throw await errorOf(response);
  const told = (await response.json()) as Omit<Session, "role"> & { role: string };
  const [, role = Role.UNSPECIFIED] =
    Object.entries(Role).find(([word]) => told.role === `ROLE_${word}`) ?? [];
  return { ...told, role };
}

/** Signs in with the key; rejects as the service does. */
export async function signIn(apiKey: string): Promise<void> {
  const told = await askSession({ authorization: `Bearer ${apiKey}` });
  signOutReason.value = "";
  session.value = told;
  tell("in");
}

/** The service no longer takes the key. */
export function noteKeyRefused(): void {
  if (typeof session.value === "object") signOutReason.value = "The service no longer accepts this key.";
  session.value = undefined;
}

/** Takes the cookie away. While the service is away it stays, and the page says so. */
export async function signOut(): Promise<void> {
  const response = await fetch(inBase("session"), { method: "DELETE", headers: proof });
  if (!response.ok) throw await errorOf(response);
  forget("");
  tell("out");
}
