// Lints docs/openapi.json: a part of `npm run check`. It asks nothing of the network.
import { createConfig, formatProblems, getTotals, lint } from "@redocly/openapi-core";

const config = await createConfig({
  extends: ["recommended-strict"],
  rules: {
    // The service is wherever it is installed.
    "no-server-example.com": "off",
    // Fixed names win over ids, and no id is one of them.
    "no-ambiguous-paths": "off",
    "operation-4xx-response": "error",
    "operation-operationId-unique": "error",
    "no-unused-components": "error",
  },
});
const problems = await lint({ ref: "docs/openapi.json", config });
if (problems.length > 0) {
  formatProblems(problems, { format: "codeframe", totals: getTotals(problems), version: "" });
  process.exitCode = 1;
}
