import type { ComponentChildren } from "preact";
import { count, counted } from "../../../ui/format/numbers.ts";
import { Notice } from "../../../ui/page/notice.tsx";
import { PlainProgress } from "../../../ui/figure/progress.tsx";
import preview from "../preview.module.css";
import css from "./review.module.css";
import type { NeverCalled } from "./use-never-called.ts";

/** Who of so many people will not be called, and who of them will not even be in the job. */
export function NeverCalledSaid({ known, people }: { known: NeverCalled; people: number }) {
  const { asked, listed, erased, isDone, refusal } = known;
  if (refusal !== undefined) {
    return (
      <Notice tone="warning">Whether somebody must never be called is not known: {refusal.message}</Notice>
    );
  }
  if (!isDone) {
    return (
      <div role="status" class="stack">
        <p class="quiet">Looking for them on the never-call list …</p>
        <PlainProgress label="Looked up" value={asked} max={Math.max(1, people)} />
      </div>
    );
  }
  const whom = asked < people ? ` of the first ${counted(asked, "person", "people")}` : "";
  const some = ({ length }: readonly string[]) =>
    whom === "" ? counted(length, "person", "people") : `${count(length)}${whom}`;
  return (
    <div role="status" class="stack">
      {listed.length === 0 ? (
        <p>Nobody{whom} is on the never-call list.</p>
      ) : (
        <Found phones={listed} label="Who is never called">
          {some(listed)} {listed.length === 1 ? "is" : "are"} on the never-call list, and will not be called.
        </Found>
      )}
      {erased.length > 0 && (
        <Found phones={erased} label="Who was erased">
          {some(erased)} {erased.length === 1 ? "was" : "were"} erased, and will not be in the job.
        </Found>
      )}
    </div>
  );
}

const shownPhones = 100;

const Found = (props: { phones: readonly string[]; label: string; children: ComponentChildren }) => (
  <>
    <Notice tone="warning">{props.children}</Notice>
    <details>
      <summary>Their numbers{props.phones.length > shownPhones ? `, the first ${shownPhones}` : ""}</summary>
      <div class={`${preview.scroll} ${preview.short}`} role="region" aria-label={props.label} tabIndex={0}>
        <ul class={css.numbers}>
          {props.phones.slice(0, shownPhones).map((phone) => (
            <li key={phone}>{phone}</li>
          ))}
        </ul>
      </div>
    </details>
  </>
);
