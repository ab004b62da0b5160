import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { parser } from "@prometheus-io/lezer-promql";
import { parseYaml } from "@redocly/openapi-core";
import { expect, test } from "vitest";
import { findDebianProgram } from "./support/servers/debian-program.ts";
import { quoted, readDocument, root } from "./support/readme.ts";
import { toldMetrics } from "./support/told-metrics.ts";

/*
 * deploy/: the alert rules and the dashboard, held to what a replica tells at /metrics and to docs/alerts.md.
 */

const rulesFile = join(root, "deploy/prometheus/alerts.yml");
const rulesTest = join(root, "deploy/prometheus/alerts.test.yml");

type Rule = { alert: string; expr: string; labels: { severity: string }; annotations: { summary: string } };
const { groups } = parseYaml(readFileSync(rulesFile, "utf8")) as { groups: { rules: Rule[] }[] };
const rules = groups.flatMap((group) => group.rules);

type Panel = { title: string; targets?: { expr: string }[] };
const dashboard = JSON.parse(readFileSync(join(root, "deploy/grafana/callsheet.json"), "utf8")) as {
  panels: Panel[];
  templating: { list: { query: string }[] };
};

/** What stands in a variable's place when Grafana asks. */
const filledIn = (expression: string): string => expression.replaceAll("$__rate_interval", "5m");

const expressions = [
  ...rules.map(({ alert, expr }) => [alert, expr] as const),
  ...dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => [title, filledIn(expr)] as const),
  ),
];

/** The names of metrics and of labels in an expression; it throws where there is none to be read. */
function namesIn(expression: string): { metrics: string[]; labels: string[] } {
  const found = { metrics: [] as string[], labels: [] as string[] };
  parser.parse(expression).iterate({
    enter({ type, from, to, node }) {
      if (type.isError) throw new Error(`${expression} is no PromQL, from its character ${from} on`);
      const text = expression.slice(from, to);
      if (type.name === "Identifier" && node.parent?.name === "VectorSelector") found.metrics.push(text);
      if (type.name === "LabelName") found.labels.push(text);
    },
  });
  return found;
}

/** Every series that a replica tells, with its labels, and those that Prometheus adds. */
function toldSeries(): ReadonlyMap<string, ReadonlySet<string>> {
  const metrics = toldMetrics();
  return new Map(
    metrics.registry.getMetricsAsArray().flatMap((metric) => {
      const own = "labelNames" in metric ? (metric.labelNames as string[]) : [];
      const labels = new Set([...own, "instance", "job"]);
      if (metric.constructor.name !== "Histogram") return [[metric.name, labels] as const];
      return [
        [`${metric.name}_bucket`, new Set([...labels, "le"])] as const,
        [`${metric.name}_sum`, labels] as const,
        [`${metric.name}_count`, labels] as const,
      ];
    }),
  );
}

const told = toldSeries();

test.each(expressions)("%s asks for what a replica tells: %s", (_, expression) => {
  const { metrics, labels } = namesIn(expression);
  expect(metrics).not.toEqual([]);
  expect(metrics.filter((name) => !told.has(name))).toEqual([]);
  const known = new Set(metrics.flatMap((name) => [...(told.get(name) ?? [])]));
  expect(labels.filter((name) => !known.has(name))).toEqual([]);
});

test("an expression that is none is found out, and so is a name that no replica tells", () => {
  expect(() => namesIn("sum(rate(callsheet_rpcs_total[5m])")).toThrow("is no PromQL");
  expect(namesIn("max(callsheet_gone) > 0").metrics.filter((name) => !told.has(name))).toEqual([
    "callsheet_gone",
  ]);
});

test("the dashboard shows every metric of the service that is no matter of alerts alone", () => {
  const asked = new Set(expressions.flatMap(([, expression]) => namesIn(expression).metrics));
  const families = [...told.keys()].map((name) => name.replace(/_(bucket|sum|count)$/, ""));
  const unseen = new Set(families.filter((name) => name.startsWith("callsheet_")));
  for (const name of asked) unseen.delete(name.replace(/_(bucket|sum|count)$/, ""));
  // What fails a fan-out or a pass of the sweep fails Redis or Postgres, of which there are alerts.
  expect([...unseen]).toEqual(["callsheet_fan_out_failures_total", "callsheet_sweep_failures_total"]);
});

test("docs/alerts.md says of every alert what it means and what to do, and of no other", () => {
  const { rows } = readDocument("docs/alerts.md").table("# Alerts");
  expect(rows.map(([name = "", severity]) => [quoted(name)[0], severity])).toEqual(
    rules.map(({ alert, labels }) => [alert, labels.severity]),
  );
  for (const [, , meaning, remedy] of rows) expect([meaning, remedy]).not.toContain("");
});

async function promtool(...args: string[]): Promise<string> {
  const program = await findDebianProgram({
    packageName: "prometheus",
    file: "usr/bin/promtool",
    versionFlag: "--version",
  });
  if (typeof program === "string") throw new Error(program);
  const { stdout } = await promisify(execFile)(program.file, args, { env: program.env });
  return stdout;
}

test("promtool takes the rules", async () => {
  expect(await promtool("check", "rules", rulesFile)).toContain(`SUCCESS: ${rules.length} rules found`);
}, 120_000);

test("the rules raise what they should, and nothing else, as promtool tries them", async () => {
  expect(await promtool("test", "rules", rulesTest)).toContain("SUCCESS");
}, 120_000);
