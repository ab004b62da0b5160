import type { DescMessage, DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import { useEffect, useState } from "preact/hooks";
import { curlOf } from "../../data/service/as-curl.ts";
import { newRequestId } from "../../data/service/request-id.ts";
import css from "./as-curl.module.css";

/** A call that is shown and not sent: of an RPC, or one that is no RPC, in a shell's words. */
export type Call =
  | {
      readonly method: DescMethod;
      readonly request: object;
      /** What a shell does around its command, where one command is not all. */
      readonly script?: (command: string) => string;
    }
  | { readonly command: string };

export const callOf = <I extends DescMessage>(
  method: DescMethod & { readonly input: I },
  request: MessageInitShape<I>,
) => ({ method, request });

/** What writes the call, under the id that is given. */
export type Calling = (requestId: string) => Call;

/**
 * The call that would be sent, as a shell makes it, for programs; it is written when it is looked at, and anew as what
 * it is written from changes.
 */
export function AsCurl({ call, title = "As curl" }: { call: Calling; title?: string }) {
  const [isOpen, setOpen] = useState(false);
  const [text, setText] = useState("");
  const [requestId] = useState(newRequestId);
  useEffect(() => {
    if (!isOpen) return;
    let isLatest = true;
    const show = (words: string) => isLatest && setText(words);
    import("../../data/service/message-json.ts").then(
      ({ jsonOf }) => show(written(call, requestId, jsonOf)),
      (thrown: unknown) => {
        reportError(thrown);
        show("It cannot be shown. Load the page anew.");
      },
    );
    return () => void (isLatest = false);
  });
  return (
    <details class={css.details} onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>{title}</summary>
      <p class="hint">CALLSHEET_API_KEY stands for your key.</p>
      <pre class="code" tabIndex={0} role="region" aria-label="The command for a shell" data-curl>
        {text}
      </pre>
      <CopyButton key={text} text={text} />
    </details>
  );
}

function written(
  call: Calling,
  requestId: string,
  jsonOf: (typeof import("../../data/service/message-json.ts"))["jsonOf"],
): string {
  try {
    const called = call(requestId);
    if ("command" in called) return called.command;
    const { method, request, script = (command: string) => command } = called;
    return script(curlOf(method, jsonOf(method.input, request)));
  } catch {
    return "Not yet: something that was given is no number or no time.";
  }
}

function CopyButton({ text }: { text: string }) {
  const [isCopied, setCopied] = useState(false);
  // Over plain HTTP from another machine a browser lets no page write to the clipboard.
  if (!isSecureContext) return null;
  return (
    <button
      type="button"
      onClick={() => void navigator.clipboard.writeText(text).then(() => setCopied(true))}
    >
      {isCopied ? "Copied" : "Copy"}
    </button>
  );
}
