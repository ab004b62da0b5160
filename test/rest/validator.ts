import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { root } from "../support/readme.ts";

type Operation = { readonly responses: Readonly<Record<string, { content?: Record<string, unknown> }>> };
type Paths = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

/** An answer, and which operation gave it: its method and its path as the document has it; none where there is none. */
export type Answer = {
  readonly method: string;
  readonly path: string | undefined;
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
};

const pointer = (...keys: string[]): string =>
  keys.map((key) => `/${encodeURIComponent(key.replaceAll("~", "~0").replaceAll("/", "~1"))}`).join("");

/** Judges answers by docs/openapi.json; says what is wrong with one, or nothing. */
export function createValidator(): (answer: Answer) => string | undefined {
  const document = JSON.parse(readFileSync(join(root, "docs/openapi.json"), "utf8")) as { paths: Paths };
  // Of JSON Schema 2020-12, which is what OpenAPI 3.1 has; `strict` would refuse what is no schema around the schemas.
  const ajv = new Ajv2020({ strict: false });
  formats.default(ajv);
  ajv.addSchema(document, "openapi");
  const compiled = new Map<string, ReturnType<typeof ajv.compile>>();

  function judge(at: string, value: unknown): string | undefined {
    const check = compiled.get(at) ?? ajv.compile({ $ref: `openapi#${at}` });
    compiled.set(at, check);
    return check(value) ? undefined : ajv.errorsText(check.errors);
  }

  return ({ method, path, status, contentType, text }) => {
    const type = contentType.split(";", 1)[0] ?? "";
    const value = (): unknown => (type === "text/csv" ? text : JSON.parse(text));
    const verb = method.toLowerCase();
    const operation = path === undefined ? undefined : document.paths[path]?.[verb];
    if (operation === undefined || path === undefined) {
      if (![401, 404, 405].includes(status)) return `there is no such operation, and it answered ${status}`;
      return judge(pointer("components", "schemas", "Failure"), value());
    }
    const code = operation.responses[status] === undefined ? "default" : String(status);
    const content = operation.responses[code]?.content;
    if (content === undefined) return `the document has no answer ${status}`;
    if (content[type] === undefined) return `the document has no ${type} for ${status}`;
    const place = ["paths", path, verb, "responses", code, "content", type, "schema"];
    return judge(pointer(...place), value());
  };
}
