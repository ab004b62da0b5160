import { useState } from "preact/hooks";
import { href, navigate } from "../../data/page/route.ts";
import css from "./find.module.css";

/** Which number is looked for, as it was written, and of which country it is if it does not say so. */
export type Looked = { readonly phone: string; readonly country?: string };

/** Where a person is looked for: the phone is in the fragment, which a browser sends to nobody. */
export const findAddress = ({ phone, country = "" }: Looked, trail: readonly string[] = []): string =>
  `${href(["jobs", "find"], { page: trail.join(","), country })}#${encodeURIComponent(phone)}`;

/** Leads to where a person is called, or was, in all jobs. */
export function FindForm({ phone, country = "" }: Looked) {
  const [text, setText] = useState(phone);
  return (
    <form
      class={css.find}
      role="search"
      aria-label="A person in all jobs"
      onSubmit={(event) => {
        event.preventDefault();
        if (text.trim() !== "") navigate(findAddress({ phone: text.trim(), country }));
      }}
    >
      <input
        type="tel"
        aria-label="Phone number of a person"
        placeholder="Phone number"
        maxLength={64}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <button type="submit">Find</button>
    </form>
  );
}
