import { signal } from "@preact/signals";
import type { Refusal } from "../service/refusal.ts";

/** What the service says of a file that it has taken. */
export type Added = {
  readonly acceptedCount: number;
  readonly rejectedContactsCount: number;
  /** The first of them. */
  readonly rejectedContacts: readonly { readonly reason: string }[];
  /** Under which it keeps the rows that it rejected. */
  readonly importId: string;
};

/**
 * A file on its way into a job: all of its contacts, or none. It lives outside of every view, and goes on whichever is
 * shown.
 */
export type Upload = {
  readonly id: string;
  /** The name of the job, or of the one that is being made. */
  readonly jobName: string;
  /** Empty until there is one. */
  readonly batchJobId: string;
  readonly contacts: number;
  readonly state: UploadState;
};

export type UploadState =
  | { readonly kind: "sending"; readonly share: number; readonly isWaiting: boolean }
  /** The whole file is there, and the service adds its contacts. */
  | { readonly kind: "adding"; readonly isWaiting: boolean }
  | { readonly kind: "done"; readonly added: Added }
  /** Sure that nothing was added, unless the service had the whole file and had not answered. */
  | { readonly kind: "stopped"; readonly isSure: boolean }
  | { readonly kind: "refused"; readonly refusal: Refusal };

export const uploads = signal<readonly Upload[]>([]);

/** The one that the form shows which is open; empty if there is none. */
export const ownUpload = signal("");

export const isGoing = ({ state }: Upload): boolean => state.kind === "sending" || state.kind === "adding";

/** How many rows of it the service did not take. */
export const rejectedIn = ({ state }: Upload): number =>
  state.kind === "done" ? state.added.rejectedContactsCount : 0;

/** Forgets an upload that has come to its end. */
export const dismissUpload = (id: string): void =>
  void (uploads.value = uploads.value.filter((upload) => upload.id !== id));
