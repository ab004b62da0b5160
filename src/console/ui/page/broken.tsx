import type { ComponentChildren } from "preact";
import { useErrorBoundary } from "preact/hooks";
import { Notice } from "./notice.tsx";

/** Instead of a view whose code throws, or cannot be loaded. */
export const Broken = ({ error }: { error: unknown }) => (
  <Notice tone="bad">
    <p>
      This part of the console cannot be shown. If the service was updated meanwhile, or was away, it can be
      once the page is loaded anew.
    </p>
    <p>What happened: {error instanceof Error ? error.message : String(error)}</p>
    <button type="button" onClick={() => location.reload()}>
      Reload the page
    </button>
  </Notice>
);

/** Shows what is inside, or why it cannot; the browser's console has the whole error. Give it a key for each view. */
export function Guarded({ children }: { children: ComponentChildren }) {
  const [error] = useErrorBoundary((thrown) => reportError(thrown));
  return error === undefined ? <>{children}</> : <Broken error={error} />;
}
