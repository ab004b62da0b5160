import { codeOf } from "../postgres/connections/database.ts";

/** What a look has found: `warning` where something should be seen to, `fault` where something is wrong now. */
export type Finding = {
  readonly check: string;
  readonly level: "ok" | "warning" | "fault";
  /** What is so, and what to do unless it is well. */
  readonly sentence: string;
};

export type Verdict = Omit<Finding, "check">;

export const ok = (sentence: string): Verdict => ({ level: "ok", sentence });
export const warning = (sentence: string): Verdict => ({ level: "warning", sentence });
export const fault = (sentence: string): Verdict => ({ level: "fault", sentence });

export type Check = { readonly check: string; readonly look: () => Promise<Verdict> };

const notAllowed = "42501";
const tookTooLong = "57014";

/** What keeps a look from its end is no fault of what was to be looked at. */
function whyNot(error: unknown): Verdict {
  const message = error instanceof Error ? error.message : String(error);
  if (codeOf(error) === notAllowed)
    return warning(`This role may not look: ${message}; GRANT SELECT on all tables of the schema to it.`);
  if (codeOf(error) === tookTooLong)
    return warning("Postgres took too long to tell; look again when there is less to do.");
  if (/\bNOPERM\b/.test(message))
    return warning(`This user of Redis may not look: ${message}; give it +@read, and +info.`);
  return warning(`It could not be looked at: ${message}.`);
}

/** Runs the checks one after another. */
export async function runChecks(checks: readonly Check[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { check, look } of checks) findings.push({ check, ...(await look().catch(whyNot)) });
  return findings;
}
