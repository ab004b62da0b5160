import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

let isFirstView = true;

/**
 * The title of a view, in the page and in the tab. It takes the focus when the view is opened, so that the keyboard
 * starts there and a screen reader says where it is; not on the first one, where the browser does that.
 */
export function Heading({ title, children }: { title: string; children?: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (!isFirstView) heading.current?.focus({ preventScroll: true });
    isFirstView = false;
  }, []);
  useEffect(() => {
    document.title = `${title} · Callsheet`;
  }, [title]);
  return (
    <h1 ref={heading} id="title" tabIndex={-1}>
      {children ?? title}
    </h1>
  );
}
