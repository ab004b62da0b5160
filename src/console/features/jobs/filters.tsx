import { useEffect, useRef, useState } from "preact/hooks";
import type { BatchJobStatus } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { jobStatusWords } from "../../ui/format/words.ts";
import { navigate, replaceAddress } from "../../data/route.ts";
import { type ListAddress, addressOf, pageSizes } from "./address.ts";

const typingPauseMs = 250;
const longestSearch = 200;

/** Changes the address, and with it the list. A change of filters goes back to the first page. */
export function Filters({ address }: { address: ListAddress }) {
  const change = (changes: Partial<ListAddress>) =>
    navigate(addressOf({ ...address, ...changes, trail: [] }));
  return (
    <form class="filters" role="search" aria-label="Jobs" onSubmit={(event) => event.preventDefault()}>
      <Search address={address} />
      <fieldset class="chips">
        <legend class="unseen">Status</legend>
        {[...jobStatusWords].map(([status, word]) => (
          <label class="chip" key={status}>
            <input
              type="checkbox"
              checked={address.statuses.some((chosen) => chosen === status)}
              onChange={() => change({ statuses: toggled(address.statuses, status as BatchJobStatus) })}
            />
            {word}
          </label>
        ))}
      </fieldset>
      <label class="page-size">
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

const toggled = (statuses: readonly BatchJobStatus[], status: BatchJobStatus): BatchJobStatus[] =>
  statuses.includes(status) ? statuses.filter((other) => other !== status) : [...statuses, status];

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
      replaceAddress(addressOf({ ...latest.current, search: text, trail: [] }));
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
