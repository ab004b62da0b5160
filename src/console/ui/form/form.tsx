import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { refusalOf } from "../../data/service/refusal.ts";
import { AsCurl, type Calling } from "./as-curl.tsx";
import { Notice, type Tone } from "../page/notice.tsx";

/** What is told of what became of it. */
export type Said = { readonly tone: Tone; readonly told: ComponentChildren };

/** A form that is sent one at a time, and tells what became of it where whoever sent it goes on. */
export function Form(props: {
  label: string;
  /** What its button says; a form without one is only looked at. */
  submit: string | undefined;
  look?: "primary" | "danger";
  /** There is nothing to send. */
  isOff?: boolean;
  /** Why it cannot be sent as it is; empty if it can. */
  problem?: string;
  /** Does it; answers what is to be said to that: words alone are good news, and none are none. */
  onSubmit: () => Promise<string | Said>;
  /** Buttons beside its own. */
  beside?: ComponentChildren;
  /** The call that it would make, where programs may want to make it, too. */
  call?: Calling | undefined;
  children?: ComponentChildren;
}) {
  /** Of what keeps it from being sent is said what it is now, for it may change by itself. */
  const [said, setSaid] = useState<Said | { readonly tone: "bad" }>();
  const [isBusy, setBusy] = useState(false);
  const notice = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (said !== undefined) notice.current?.focus();
  }, [said]);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    if (isBusy || props.isOff === true) return;
    if (props.problem) return setSaid({ tone: "bad" });
    setBusy(true);
    setSaid(undefined);
    try {
      const answer = await props.onSubmit();
      const next: Said = typeof answer === "string" ? { tone: "good", told: answer } : answer;
      setSaid(next.told === "" ? undefined : next);
    } catch (error) {
      setSaid({ tone: "bad", told: refusalOf(error).message });
    } finally {
      setBusy(false);
    }
  }

  /** What was wrong with what stood there is not said of what stands there now. */
  const mend = () => setSaid((before) => (before?.tone === "bad" ? undefined : before));

  const told = said !== undefined && "told" in said ? said.told : props.problem;

  return (
    <form class="stack" noValidate onSubmit={submit} onInput={mend} aria-label={props.label}>
      {props.children}
      {props.call !== undefined && <AsCurl call={props.call} />}
      <div class="actions">
        {props.beside}
        {props.submit !== undefined && (
          <button
            type="submit"
            class={props.look ?? "primary"}
            aria-disabled={isBusy || props.isOff === true}
          >
            {props.submit}
          </button>
        )}
      </div>
      {said !== undefined && told !== undefined && told !== "" && (
        <div ref={notice} tabIndex={-1}>
          <Notice tone={said.tone}>{told}</Notice>
        </div>
      )}
    </form>
  );
}
