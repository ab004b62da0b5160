// node test/rest/client/generate.ts: the types of the HTTP paths, as openapi-typescript makes them of
// docs/openapi.json. It needs an older TypeScript than this repository has, and so is fetched for this alone.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../../..");
const document = join(root, "docs/openapi.json");
const types = join(import.meta.dirname, "schema.d.ts");

const packages = ["typescript@5.9.3", "openapi-typescript@7.13.0"].flatMap((name) => ["-p", name]);
execFileSync("npx", ["--yes", ...packages, "openapi-typescript", document, "-o", types], { cwd: root });
const hash = createHash("sha256").update(readFileSync(document)).digest("hex");
writeFileSync(types, `// Of the docs/openapi.json whose SHA-256 is ${hash}.\n${readFileSync(types, "utf8")}`);
execFileSync("npx", ["prettier", "--write", types], { cwd: root });
