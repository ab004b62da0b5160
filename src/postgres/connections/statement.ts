import type { CompiledQuery, RawBuilder } from "kysely";
import type { Database } from "./database.ts";

/** Where a value goes in a statement. */
class Place {
  readonly name: PropertyKey;
  constructor(name: PropertyKey) {
    this.name = name;
  }
}

/** The values of a statement, or the places where they go. */
export type Places<Values> = { readonly [Name in keyof Values]: unknown };

/**
 * A statement of which nothing changes but its values: Kysely makes its text when it first runs, and not again, which
 * is much of what a large one costs the service. It is built with places for the values, which it can only stand in.
 */
export function createStatement<Values extends object, Row>(
  build: (places: Places<Values>) => RawBuilder<Row>,
): (db: Database, values: Values) => Promise<Row[]> {
  const places = new Proxy<Places<Values>>(Object.create(null), {
    get: (_, name) => new Place(name),
  });
  let made: CompiledQuery<Row> | undefined;
  return async (db, values) => {
    made ??= build(places).compile(db);
    const parameters = made.parameters.map((parameter): unknown =>
      parameter instanceof Place ? Reflect.get(values, parameter.name) : parameter,
    );
    const { rows } = await db.executeQuery<Row>({ ...made, parameters });
    return rows;
  };
}
