import { useState } from "preact/hooks";
import { href, navigate } from "../../data/page/route.ts";
import css from "./find.module.css";

/** Where a person is looked for: the phone is in the fragment, which a browser sends to nobody. */
export const findAddress = (phone: string, trail: readonly string[] = []): string =>
  `${href(["jobs", "find"], { page: trail.join(",") })}#${encodeURIComponent(phone)}`;

/** Leads to where a person is called, or was, in all jobs. */
export function FindForm({ phone = "" }: { phone?: string }) {
  const [text, setText] = useState(phone);
  return (
    <form
      class={css.find}
      role="search"
      aria-label="A person in all jobs"
      onSubmit={(event) => {
        event.preventDefault();
        if (text.trim() !== "") navigate(findAddress(text.trim()));
      }}
    >
      <input
        type="tel"
        aria-label="Phone number of a person"
        placeholder="Phone, as +14155550100"
        maxLength={64}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <button type="submit">Find</button>
    </form>
  );
}
