import { Notice } from "../../ui/page/notice.tsx";

/** What an endpoint checks signatures with, while it is known. */
export const Secret = ({ secret, onHide }: { secret: string; onHide: () => void }) => (
  <Notice tone="good">
    <p>With this secret its receiver checks who sends. It is shown here once, and nowhere again:</p>
    <p class="code" data-secret>
      {secret}
    </p>
    <button type="button" onClick={onHide}>
      It is kept; hide it
    </button>
  </Notice>
);
