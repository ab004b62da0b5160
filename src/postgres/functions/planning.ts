import { sql } from "kysely";

/*
 * Each function is one round trip and one commit, so that the organization's lock is not held while somebody computes. Its
 * statements come after the locks and see what was committed before them.
 *
 * They are planned once for each connection, which is most of the cost of a small batch, perhaps while the tables are
 * empty. So they are written, and set, in such a way that every row can only be found through its key: by a join from
 * what is given, and by a lateral look-up where there is another index that could be tried.
 */
export const planning = sql`
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set plan_cache_mode = force_generic_plan`;

/** As many random bits as a lease's nonce has. */
export const newNonce = sql`(random() * (2::bigint ^ 48 - 1))::bigint`;

/**
 * What a leased contact adds to an answer, in bytes of gRPC's binary form, beside its line, and at most: its job's number to
 * call from, and for all the rest, such as the marks around 50 fields, so much.
 */
export const answerBytes = (fromPhone: string) => sql.raw(`(octet_length(${fromPhone}) + 300)`);
