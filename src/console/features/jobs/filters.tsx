import { useEffect, useRef, useState } from "preact/hooks";
import { navigate, replaceAddress } from "../../data/page/route.ts";
import {
  type DayOf,
  type Label,
  type ListAddress,
  addressOf,
  dayWords,
  firstPage,
  pageSizes,
} from "./address.ts";
import css from "./jobs.module.css";

const typingPauseMs = 250;
const longestSearch = 200;
const mostLabels = 20;

type Change = (changes: Partial<ListAddress>) => void;

/**
 * Changes the address, and with it the list. A change of filters goes back to the first page. `known` are labels that
 * may be meant.
 */
export function Filters({ address, known }: { address: ListAddress; known: readonly Label[] }) {
  const change: Change = (changes) => navigate(addressOf({ ...firstPage(address), ...changes }));
  return (
    <form class={css.filters} role="search" aria-label="Jobs" onSubmit={(event) => event.preventDefault()}>
      <Search address={address} />
      <Days address={address} onChange={change} />
      <Labels labels={address.labels} known={known} onChange={(labels) => change({ labels })} />
      <label class={css.pageSize}>
        Rows
        <select
          value={address.pageSize}
          onChange={(event) => change({ pageSize: Number(event.currentTarget.value) })}
        >
          {pageSizes.map((size) => (
            <option key={size} value={size}>
              {size}
            </option>
          ))}
        </select>
      </label>
    </form>
  );
}

/** Searches while one types, a moment after the last letter. */
function Search({ address }: { address: ListAddress }) {
  const [text, setText] = useState(address.search);
  const searched = useRef(address.search);
  const latest = useRef(address);
  latest.current = address;
  useEffect(() => {
    // The address was changed by something else, such as going back.
    if (address.search !== searched.current) setText(address.search);
    searched.current = address.search;
  }, [address.search]);
  useEffect(() => {
    if (text === searched.current) return;
    const timer = setTimeout(() => {
      searched.current = text;
      replaceAddress(addressOf({ ...firstPage(latest.current), search: text }));
    }, typingPauseMs);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <input
      type="search"
      aria-label="Search jobs by name"
      placeholder="Search by name"
      maxLength={longestSearch}
      value={text}
      onInput={(event) => setText(event.currentTarget.value)}
    />
  );
}

const two = (number: number): string => String(number).padStart(2, "0");

/** Today by this computer's clock, as an input for a date has it. */
function today(): string {
  const now = new Date();
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}

/** Days from one to another, both with all of their hours; whoever begins to ask is shown those of today. */
function Days({ address, onChange }: { address: ListAddress; onChange: Change }) {
  const { dayOf, from, to } = address;
  const choose = (word: string): void => {
    if (word === "") return onChange({ dayOf: "", from: "", to: "" });
    const isNew = from === "" && to === "";
    onChange({ dayOf: word as DayOf, ...(isNew ? { from: today(), to: today() } : {}) });
  };
  return (
    <div class={css.days}>
      <select aria-label="Day of" value={dayOf} onChange={(event) => choose(event.currentTarget.value)}>
        <option value="">Any day</option>
        {Object.entries(dayWords).map(([key, word]) => (
          <option key={key} value={key}>
            {word}
          </option>
        ))}
      </select>
      {dayOf !== "" && (
        <>
          <label>
            from
            <input
              type="date"
              value={from}
              onChange={({ currentTarget: { value } }) =>
                onChange({ from: value, to: to !== "" && to < value ? value : to })
              }
            />
          </label>
          <label>
            to
            <input
              type="date"
              value={to}
              onChange={({ currentTarget: { value } }) =>
                onChange({ to: value, from: value !== "" && from > value ? value : from })
              }
            />
          </label>
        </>
      )}
    </div>
  );
}

export const labelWords = ([key, value]: Label): string => (value === "" ? key : `${key}=${value}`);

/** "key=value" as it is typed. */
function labelIn(text: string): Label | undefined {
  const [, key = "", value = ""] = /^([^=]+)=?(.*)$/s.exec(text.trim()) ?? [];
  return key.trim() === "" ? undefined : [key.trim(), value.trim()];
}

export const withLabel = (labels: readonly Label[], label: Label): Label[] => [
  ...labels.filter(([key]) => key !== label[0]),
  label,
];

function Labels(props: {
  labels: readonly Label[];
  known: readonly Label[];
  onChange: (labels: readonly Label[]) => void;
}) {
  const { labels, onChange } = props;
  const [text, setText] = useState("");
  const words = new Set(props.known.map(labelWords));
  function add(label: Label | undefined): void {
    setText("");
    if (label !== undefined && labels.length < mostLabels) onChange(withLabel(labels, label));
  }
  return (
    <>
      <input
        aria-label="Label"
        placeholder="Label, as team=north"
        class={css.label}
        list="labels"
        value={text}
        onInput={({ currentTarget: { value } }) => {
          // What is chosen of the list is whole; what is typed ends with Enter.
          if (words.has(value)) add(labelIn(value));
          else setText(value);
        }}
        onKeyDown={(event) => {
          if (event.key !== "Enter") return;
          event.preventDefault();
          add(labelIn(text));
        }}
      />
      <datalist id="labels">
        {[...words].map((word) => (
          <option key={word} value={word} />
        ))}
      </datalist>
      {labels.map((label) => (
        <button
          key={label[0]}
          type="button"
          class={css.chosen}
          aria-label={`Without the label ${labelWords(label)}`}
          onClick={() => onChange(labels.filter((other) => other !== label))}
        >
          <bdi>{labelWords(label)}</bdi> <span aria-hidden="true">×</span>
        </button>
      ))}
    </>
  );
}
