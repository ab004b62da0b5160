export const roles = ["admin", "operator", "viewer", "worker"] as const;

/** What an API key may do; see Role in the proto. */
export type Role = (typeof roles)[number];

/** Who is calling: one API key, which belongs to one organization. */
export type Caller = { readonly apiKeyId: string; readonly organizationId: number; readonly role: Role };
