/** What a lease's id says: in which attempt at which contact it is, and a number that no other lease of it has. */
export type LeaseKey = {
  readonly jobId: string;
  /** The contact's number. */
  readonly number: number;
  /** From 1 inside its contact. */
  readonly attempt: number;
  /** 48 random bits. */
  readonly nonce: number;
};

const largestNumber = 2 ** 31 - 1;

/** The id by which workers know the lease: 36 characters that say nothing to them. */
export function writeLeaseId({ jobId, number, attempt, nonce }: LeaseKey): string {
  const bytes = Buffer.allocUnsafe(27);
  bytes.write(jobId.replaceAll("-", ""), 0, "hex");
  bytes.writeUInt32BE(number, 16);
  bytes.writeUInt8(attempt, 20);
  bytes.writeUIntBE(nonce, 21, 6);
  return bytes.toString("base64url");
}

const noLease: LeaseKey = { jobId: "00000000-0000-0000-0000-000000000000", number: 0, attempt: 1, nonce: 0 };

/** An id that no lease can have gives the key of none, which is never found. */
export function readLeaseId(leaseId: string): LeaseKey {
  if (!/^[\w-]{36}$/.test(leaseId)) return noLease;
  const bytes = Buffer.from(leaseId, "base64url");
  const hex = bytes.toString("hex", 0, 16);
  const number = bytes.readUInt32BE(16);
  const attempt = bytes.readUInt8(20);
  if (number > largestNumber || attempt === 0) return noLease;
  const jobId = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  return { jobId, number, attempt, nonce: bytes.readUIntBE(21, 6) };
}
