import { type Result, type Row, median } from "./workload.ts";

const round = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString("en-US") : String(Math.round(value * 10) / 10);

const best = ({ better }: Result, rows: readonly Row[]): number | undefined => {
  const medians = rows.flatMap(({ values }) => (values.length === 0 ? [] : median(values)));
  if (medians.length === 0) return undefined;
  return better === "higher" ? Math.max(...medians) : Math.min(...medians);
};

/** How many times as good the one is as the other. */
const ratio = ({ better }: Result, value: number, other: number | undefined): string => {
  if (other === undefined || Number.isNaN(value) || Number.isNaN(other)) return "";
  const times = better === "higher" ? value / other : other / value;
  return `${Math.round(times * 100) / 100} ×`;
};

/** What is to be known of a figure before it is believed. */
const troubles = ({ values, failed, disturbed }: Row): string[] => {
  const runs = values.length + failed;
  return [
    ...(failed === 0 ? [] : [`**failed in ${failed} of ${runs} runs**`]),
    ...(disturbed === 0
      ? []
      : [`the machine was busy before, or lent in part to others during, ${disturbed} of ${runs} runs`]),
  ];
};

/** A table for each figure. */
export function toMarkdown(results: readonly Result[]): string {
  const tables = results.map((result) => {
    const peer = best(
      result,
      result.rows.filter(({ role }) => role === "peer"),
    );
    const limits = result.rows.filter(({ role }) => role === "limit");
    const head = [
      "",
      `median, ${result.unit}`,
      "min – max",
      ...(peer === undefined ? [] : ["to the best peer"]),
      ...limits.map(({ name }) => `to ${name}`),
      "beside",
    ];
    const rows = result.rows.map((row) => {
      const value = median(row.values);
      const isOurs = row.role === "callsheet";
      return [
        row.name,
        row.values.length === 0 ? "failed" : round(value),
        row.values.length === 0
          ? ""
          : `${round(Math.min(...row.values))} – ${round(Math.max(...row.values))}`,
        ...(peer === undefined ? [] : [isOurs ? ratio(result, value, peer) : ""]),
        ...limits.map((limit) => (isOurs ? ratio(result, value, median(limit.values)) : "")),
        [
          ...troubles(row),
          ...Object.entries(row.extra).map(([what, figure]) => `${what}: ${round(figure)}`),
        ].join("; "),
      ];
    });
    const lines = [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`);
    return `### ${result.title}\n\n${lines.join("\n")}\n\n${result.note} Measured ${result.circumstances}.\n`;
  });
  return tables.join("\n");
}

const colours = { callsheet: "#2563eb", peer: "#9ca3af", limit: "#d1fae5" };
const barHeight = 16;
const labelWidth = 330;
const barWidth = 380;

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** Bars for each figure, on a scale of its own. */
export function toSvg(results: readonly Result[]): string {
  let y = 10;
  const shapes = results.flatMap((result) => {
    const shown = result.rows.filter(({ values }) => values.length > 0);
    const longest = Math.max(...shown.map((row) => median(row.values)));
    const hint = result.better === "higher" ? "more is better" : "less is better";
    y += 24;
    const title = `<text x="10" y="${y}" font-weight="600">${escape(result.title)} (${hint})</text>`;
    const bars = shown.flatMap((row) => {
      const value = median(row.values);
      const width = Math.max(1, Math.round((value / longest) * barWidth));
      y += barHeight + 4;
      const end = labelWidth + width + 6;
      return [
        `<text x="${labelWidth - 8}" y="${y}" text-anchor="end">${escape(row.name)}</text>`,
        `<rect x="${labelWidth}" y="${y - barHeight + 4}" width="${width}" height="${barHeight}" rx="2" fill="${colours[row.role]}" stroke="#6b7280" stroke-width="0.5"/>`,
        `<text x="${end}" y="${y}">${round(value)} ${escape(result.unit)}</text>`,
      ];
    });
    y += 10;
    return [title, ...bars];
  });
  const width = labelWidth + barWidth + 160;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y + 10}" viewBox="0 0 ${width} ${y + 10}" font-family="system-ui, sans-serif" font-size="12" fill="#111827">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    ...shapes,
    "</svg>\n",
  ].join("\n");
}
