import { useState } from "preact/hooks";
import { type Refusal, refusalOf } from "../../data/service/refusal.ts";
import { signIn, signOutReason } from "../../data/service/session.ts";
import { Field, describedBy } from "../../ui/form/field.tsx";
import { Heading } from "../../ui/page/heading.tsx";
import { Mark, brand } from "../../ui/figure/mark.tsx";
import { Notice } from "../../ui/page/notice.tsx";
import css from "./sign-in.module.css";

function inWords({ reason, message, isAway }: Refusal): string {
  if (isAway) return "The service does not answer. Try again in a moment.";
  if (reason === "invalid_api_key") {
    return "The service does not know this key. It may be misspelt, expired or revoked.";
  }
  if (reason === "permission_denied")
    return "This is a worker's key. Use one of an operator, a viewer or an admin.";
  return message;
}

export function SignInView() {
  const [key, setKey] = useState("");
  const [problem, setProblem] = useState<string>();
  const [isBusy, setBusy] = useState(false);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    const trimmed = key.trim();
    if (!/^cs_[\w-]+$/.test(trimmed))
      return setProblem("An API key starts with cs_ and has no spaces in it.");
    setBusy(true);
    setProblem(undefined);
    try {
      await signIn(trimmed);
    } catch (error) {
      setProblem(inWords(refusalOf(error)));
    } finally {
      setBusy(false);
    }
  }

  return (
    <main class={css.signIn}>
      <form class="card" onSubmit={submit} noValidate>
        <Heading title="Sign in">
          <span class={brand}>
            <Mark />
            Callsheet
          </span>
          Sign in
        </Heading>
        {signOutReason.value !== "" && <Notice tone="warning">{signOutReason.value}</Notice>}
        <Field
          id="api-key"
          label="API key"
          problem={problem}
          hint="An admin of your organization makes one for you. The browser keeps it until you sign out or close it, where no script reads it."
        >
          <input
            {...describedBy("api-key", problem)}
            type="password"
            autocomplete="off"
            spellcheck={false}
            value={key}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
        </Field>
        <button type="submit" class="primary" aria-disabled={isBusy}>
          {isBusy ? "Signing in …" : "Sign in"}
        </button>
      </form>
    </main>
  );
}
