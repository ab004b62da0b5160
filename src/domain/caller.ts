import type { Rates } from "./rates.ts";

export const roles = ["admin", "operator", "viewer", "worker"] as const;

/** What an API key may do; see Role in the proto. */
export type Role = (typeof roles)[number];

/** Who is calling: one API key, which belongs to one organization. */
export type Caller = {
  readonly apiKeyId: string;
  readonly organizationId: number;
  readonly role: Role;
  /** The rates that its organization has of its own; of a class without one it has the service's. */
  readonly rates?: Partial<Rates>;
};
