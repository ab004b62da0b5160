// Prints the OpenAPI document of the routes, as docs/openapi.json has it: `npm run generate`.
import { toDocument } from "./openapi.ts";
import { routes } from "../routes.ts";

process.stdout.write(`${JSON.stringify(toDocument(routes), null, 2)}\n`);
