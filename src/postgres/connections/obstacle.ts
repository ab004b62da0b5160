import { Client } from "pg";
import { isPostgresUnavailable } from "./database.ts";
import type { UrlVariable } from "./fitness.ts";

/** Why the database cannot be used now, in a sentence. What passes by itself is worth waiting for. */
export type Obstacle = { readonly passes: boolean; readonly sentence: string };

type Where = { place: string; role: string; database: string; message: string };

type Rule = {
  /** A code of Node or an SQLSTATE, and perhaps how the message must be; the first rule that fits is taken. */
  code?: RegExp;
  message?: RegExp;
  passes: boolean;
  say: (where: Where) => string;
};

const rules: readonly Rule[] = [
  {
    code: /^ECONNREFUSED$/,
    passes: true,
    say: ({ place }) => `${place} takes no connections; it must run there, and listen.`,
  },
  {
    code: /^(ENOTFOUND|EAI_AGAIN)$/,
    passes: true,
    say: ({ place }) => `${place} is not to be found; the name server must know that host.`,
  },
  {
    // Of a role, a database or PgBouncer.
    message: /^(too many connections for (role|database) |no more connections allowed)/,
    passes: true,
    say: ({ place, message }) =>
      `${place} has no connection left (${message}); raise that limit, or lower DATABASE_POOL_SIZE.`,
  },
  {
    code: /^53300$/,
    passes: true,
    say: ({ place }) =>
      `${place} has no connection left; raise its max_connections, or lower DATABASE_POOL_SIZE.`,
  },
  {
    code: /^57P0[123]$/,
    passes: true,
    say: ({ place }) => `${place} is starting or stopping; it must get ready.`,
  },
  {
    code: /^28P01$/,
    passes: false,
    say: ({ place, role }) =>
      `${place} refuses the password of role ${role}; it must be the right one, with # / ? @ % in it written as %23 %2F %3F %40 %25.`,
  },
  {
    message: /password must be a (non-empty )?string/,
    passes: false,
    say: ({ place, role }) =>
      `${place} asks for the password of role ${role}, and there is none; the URL must begin with postgres://${role}:PASSWORD@.`,
  },
  {
    code: /^28000$/,
    message: /^role .* (does not exist|is not permitted to log in)$/,
    passes: false,
    say: ({ place, role }) =>
      `${place} has no role ${role} that may log in; CREATE ROLE ${role} LOGIN PASSWORD …, or name another.`,
  },
  {
    code: /^28000$/,
    message: /no encryption$/,
    passes: false,
    say: ({ place, role, database }) =>
      `${place} does not let role ${role} into database ${database} without TLS; the URL must end with ?sslmode=verify-full, or its pg_hba.conf have a line for them.`,
  },
  {
    code: /^28000$/,
    message: /client certificate/,
    passes: false,
    say: ({ place, role }) =>
      `${place} asks for a client certificate of role ${role}; the URL must name one that it trusts, as &sslcert=FILE&sslkey=FILE.`,
  },
  {
    code: /^28000$/,
    passes: false,
    say: ({ place, role, database, message }) =>
      `${place} does not let role ${role} into database ${database} (${message}); its pg_hba.conf must have a line for them.`,
  },
  {
    code: /^3D000$/,
    passes: false,
    say: ({ place, role, database }) =>
      `${place} has no database ${database}; CREATE DATABASE ${database} OWNER ${role}, or name another.`,
  },
  {
    code: /^42501$/,
    message: /^permission denied for database /,
    passes: false,
    say: ({ place, role, database }) =>
      `${place} does not let role ${role} into database ${database}; GRANT CONNECT ON DATABASE ${database} TO ${role}.`,
  },
  {
    code: /^42501$/,
    passes: false,
    say: ({ place, role, message }) =>
      `${place} does not let role ${role} work in its schema (${message}); Callsheet's tables must belong to that role.`,
  },
  {
    code: /^CERT_HAS_EXPIRED$/,
    passes: false,
    say: ({ place }) => `${place} shows a certificate whose time is over; it must be renewed there.`,
  },
  {
    // Node's names for what may be wrong with a certificate. After a semicolon it gives advice of its own.
    code: /CERT|^UNABLE_TO_/,
    passes: false,
    say: ({ place, message }) =>
      `${place} shows a certificate that is not trusted here (${message.split(";", 1)[0]}); the URL must name its CA, as ?sslmode=verify-full&sslrootcert=FILE, and the host as the certificate has it.`,
  },
  {
    message: /does not support SSL|establishing an SSL connection/,
    passes: false,
    say: ({ place }) => `${place} does not speak TLS; switch ssl on there, or take sslmode out of the URL.`,
  },
];

/** What failed over the connections of one URL, where there is work over those of two. */
class OverUrl extends Error {
  readonly url: string;
  readonly variable: UrlVariable;
  constructor(url: string, variable: UrlVariable, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.url = url;
    this.variable = variable;
  }
}

/** Does what needs this URL; of what it throws `obstacleOf` knows that. */
export async function overUrl<T>(url: string, variable: UrlVariable, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new OverUrl(url, variable, error);
  }
}

/** What stands in the way, given what connecting, looking, or bringing the schema up to date has thrown. */
export function obstacleOf(error: unknown, url: string, variable: UrlVariable = "DATABASE_URL"): Obstacle {
  if (error instanceof OverUrl) return obstacleOf(error.cause, error.url, error.variable);
  // A name with several addresses was tried at each.
  const cause: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const message = cause instanceof Error ? cause.message : String(cause);
  const code = property(cause, "code");
  const rule = rules.find((each) => (each.code?.test(code) ?? true) && (each.message?.test(message) ?? true));
  const where = { ...readUrl(url, variable), message };
  if (rule) return { passes: rule.passes, sentence: rule.say(where) };
  if (isPostgresUnavailable(cause) || property(cause, "syscall") === "connect") {
    return {
      passes: true,
      sentence: `${where.place} does not answer (${message}); it must be reachable from here.`,
    };
  }
  // What has no code is a sentence of our own, which says what is wrong with a server that answers well.
  return { passes: false, sentence: code === "" ? message : `${where.place} cannot be used: ${message}.` };
}

function property(error: unknown, name: "code" | "syscall"): string {
  const value: unknown = error instanceof Error ? Reflect.get(error, name) : undefined;
  return typeof value === "string" ? value : "";
}

/** As the driver reads it, with its defaults from the environment; of a password there is nothing in it. */
function readUrl(url: string, variable: UrlVariable): Omit<Where, "message"> {
  try {
    const { host, port, user = "", database = user } = new Client({ connectionString: url });
    const address = `${host.includes(":") ? `[${host}]` : host}:${port}`;
    return { place: `Postgres at ${address} (${variable})`, role: user, database };
  } catch {
    // Such as a certificate's file that is not there.
    return { place: `Postgres (${variable})`, role: "", database: "" };
  }
}
