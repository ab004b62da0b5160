import type { Database } from "../../src/postgres/connections/database.ts";

/** The same database, of which it is known how many statements it was asked. */
export function counting(plain: Database): { db: Database; asked: () => number } {
  let asked = 0;
  const db = plain.withPlugin({
    transformQuery({ node }) {
      asked += 1;
      return node;
    },
    transformResult: async ({ result }) => result,
  });
  return { db, asked: () => asked };
}
