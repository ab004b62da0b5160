import { useEffect, useRef, useState } from "preact/hooks";
// oxlint-disable-next-line import/no-unassigned-import -- it must run before the library is loaded
import "../../../ui/figure/usable-language.ts";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { count } from "../../../ui/format/numbers.ts";
import css from "./chart.module.css";

export type Line = {
  readonly label: string;
  /** The name of a custom property of the page's styles. */
  readonly color: string;
  readonly values: readonly number[];
  readonly isDashed?: boolean;
};

type Props = {
  /** What a screen reader says instead of the picture. */
  readonly label: string;
  /** Seconds since 1970. */
  readonly times: readonly number[];
  readonly lines: readonly Line[];
  /** Areas on top of each other, the first one at the bottom. */
  readonly isStacked?: boolean;
  readonly height: number;
};

const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const exactClock = new Intl.DateTimeFormat("en", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

const dayClock = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});

/** The ticks of the time axis, in seconds. */
const secondSteps = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400, 172_800, 604_800,
];

/** The ticks of counts. */
const countSteps = [1, 10, 100, 1_000, 10_000, 100_000].flatMap((unit) => [unit, 2 * unit, 5 * unit]);

const darkness = matchMedia("(prefers-color-scheme: dark)");

/** Each line on top of those before it. */
function stacked(lines: readonly Line[]): number[][] {
  let below: readonly number[] = [];
  return lines.map(({ values }) => {
    const sums = values.map((value, i) => value + (below[i] ?? 0));
    below = sums;
    return sums;
  });
}

/** Areas are painted one over the other: the highest first, so that each shows what it adds. */
function toData({ times, lines, isStacked = false }: Props): uPlot.AlignedData {
  const heights = isStacked ? stacked(lines).toReversed() : lines.map(({ values }) => [...values]);
  return [[...times], ...heights];
}

const paintOrder = ({ lines, isStacked = false }: Props): readonly Line[] =>
  isStacked ? lines.toReversed() : lines;

/** A chart of counts over time, in the colours that the page has at the moment. */
export function Chart(props: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const shown = useRef(props);
  shown.current = props;
  const shape = JSON.stringify(props.lines.map(({ label }) => label));
  const [pointedAt, setPointedAt] = useState<number>();

  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(
        optionsFor(() => shown.current, element, setPointedAt),
        toData(shown.current),
        element,
      );
    };
    draw();
    const resizing = new ResizeObserver(() =>
      plot.current?.setSize({ width: element.clientWidth, height: shown.current.height }),
    );
    resizing.observe(element);
    darkness.addEventListener("change", draw);
    return () => {
      resizing.disconnect();
      darkness.removeEventListener("change", draw);
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, [shape]);

  useEffect(() => plot.current?.setData(toData(props)), [props.times, props.lines]);

  return (
    <figure class={css.chart}>
      <div role="img" aria-label={props.label}>
        <div ref={place} aria-hidden="true" />
      </div>
      <Legend {...props} at={pointedAt ?? props.times.length - 1} />
    </figure>
  );
}

/** The figures at the moment that the pointer is on, or else the latest. */
const Legend = ({ times, lines, at }: Props & { at: number }) => (
  <ul class={css.legend} aria-hidden="true">
    {lines.map(({ label, color, values, isDashed = false }) => (
      <li key={label}>
        <span
          class={isDashed ? `${css.swatch} ${css.line}` : css.swatch}
          style={{ background: `var(${color})` }}
        />
        {label} <strong>{count(values[at] ?? values.at(-1) ?? 0)}</strong>
      </li>
    ))}
    <li class="quiet">{exactClock.format((times[at] ?? times.at(-1) ?? 0) * 1000)}</li>
  </ul>
);

function optionsFor(
  now: () => Props,
  element: HTMLElement,
  onPoint: (at: number | undefined) => void,
): uPlot.Options {
  const styles = getComputedStyle(element);
  const color = (name: string) => styles.getPropertyValue(name).trim();
  const axis = {
    stroke: color("--quiet"),
    font: `12px ${styles.fontFamily}`,
    grid: { stroke: color("--line"), width: 1 },
    ticks: { stroke: color("--line"), width: 1 },
  };
  const isStacked = now().isStacked ?? false;
  return {
    width: element.clientWidth,
    height: now().height,
    padding: [10, 14, 0, 0],
    legend: { show: false },
    hooks: { setCursor: [({ cursor }) => onPoint(cursor.idx ?? undefined)] },
    cursor: { y: false, drag: { x: false, y: false }, sync: { key: "progress" } },
    scales: { y: { range: (_plot, _min, max) => [0, Math.max(1, Math.ceil((max ?? 0) * 1.08))] } },
    axes: [
      {
        ...axis,
        size: 32,
        space: 90,
        incrs: secondSteps,
        values: (_plot, splits) => splits.map((at) => timeWords(at, splits)),
      },
      {
        ...axis,
        size: 52,
        space: 28,
        incrs: countSteps,
        values: (_plot, splits) => splits.map(count),
      },
    ],
    series: [
      {},
      ...paintOrder(now()).map((line) => ({
        label: line.label,
        stroke: color(line.color),
        width: isStacked ? 1 : 2,
        ...(isStacked ? { fill: color(line.color) } : {}),
        ...(line.isDashed ? { dash: [6, 5] } : {}),
        points: { show: false },
      })),
    ],
  };
}

const daySeconds = 86_400;

/** With seconds where the ticks of the axis are closer than a minute, and with the day where they are of several. */
function timeWords(at: number, splits: readonly number[]): string {
  const [first = 0, second = first + 60] = splits;
  if (second - first < 60) return exactClock.format(at * 1000);
  return ((splits.at(-1) ?? 0) - first < daySeconds ? clock : dayClock).format(at * 1000);
}
