import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { refusalOf } from "../data/refusal.ts";
import { Notice } from "./notice.tsx";

type Said = { readonly tone: "good" | "bad"; readonly sentence: string };

/** A form that is sent one at a time, and tells what became of it where whoever sent it goes on. */
export function Form(props: {
  label: string;
  submit: string;
  look?: "primary" | "danger";
  /** Why it cannot be sent as it is; empty if it can. */
  problem?: string;
  /** Does it; answers what is to be said to that. */
  onSubmit: () => Promise<string>;
  children?: ComponentChildren;
}) {
  const [said, setSaid] = useState<Said>();
  const [isBusy, setBusy] = useState(false);
  const notice = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (said !== undefined) notice.current?.focus();
  }, [said]);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    if (isBusy) return;
    if (props.problem) return setSaid({ tone: "bad", sentence: props.problem });
    setBusy(true);
    setSaid(undefined);
    try {
      const sentence = await props.onSubmit();
      setSaid(sentence === "" ? undefined : { tone: "good", sentence });
    } catch (error) {
      setSaid({ tone: "bad", sentence: refusalOf(error).message });
    } finally {
      setBusy(false);
    }
  }

  return (
    <form class="stack" noValidate onSubmit={submit} aria-label={props.label}>
      {props.children}
      <div class="actions">
        <button type="submit" class={props.look ?? "primary"} aria-disabled={isBusy}>
          {props.submit}
        </button>
      </div>
      {said !== undefined && (
        <div ref={notice} tabIndex={-1}>
          <Notice tone={said.tone}>{said.sentence}</Notice>
        </div>
      )}
    </form>
  );
}
