import { useEffect, useRef } from "preact/hooks";
import css from "./pager.module.css";

/**
 * Steps through pages by token. The tokens of the pages before are kept in the address, so that going back, reloading
 * and sharing the address all work.
 */
export function Pager(props: {
  label: string;
  /** The heading of the list, where whoever went to another page goes on. */
  headingId: string;
  /** The tokens of the pages up to this one; empty on the first. */
  trail: readonly string[];
  next: string;
  hrefOf: (trail: readonly string[]) => string;
}) {
  const { trail, next } = props;
  const shown = useRef(trail.length);
  useEffect(() => {
    if (shown.current === trail.length) return;
    shown.current = trail.length;
    const heading = document.getElementById(props.headingId);
    heading?.focus({ preventScroll: true });
    heading?.scrollIntoView({ block: "nearest" });
  }, [trail.length]);
  if (trail.length === 0 && next === "") return null;
  return (
    <nav class={css.pager} aria-label={props.label}>
      <Step to={trail.length > 0 ? props.hrefOf(trail.slice(0, -1)) : undefined}>Previous</Step>
      <span>Page {trail.length + 1}</span>
      <Step to={next === "" ? undefined : props.hrefOf([...trail, next])}>Next</Step>
    </nav>
  );
}

const Step = ({ to, children }: { to: string | undefined; children: string }) =>
  to === undefined ? (
    <span class="button disabled" aria-hidden="true">
      {children}
    </span>
  ) : (
    <a class="button" href={to}>
      {children}
    </a>
  );

export const readTrail = (text: string | null): string[] => (text ? text.split(",") : []);
