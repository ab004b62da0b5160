import type { ComponentChildren } from "preact";
import { href } from "../../data/page/route.ts";
import css from "./crumbs.module.css";

/** Where the view is: under a list, of jobs if not told otherwise, and perhaps under `children`, one link. */
export const Crumbs = ({
  top: [path, word] = ["jobs", "Jobs"],
  here,
  children,
}: {
  top?: readonly [path: string, word: string];
  here: ComponentChildren;
  children?: ComponentChildren;
}) => (
  <nav aria-label="Where you are">
    <ol class={css.crumbs}>
      <li>
        <a href={href([path])}>{word}</a>
      </li>
      {children !== undefined && <li>{children}</li>}
      <li aria-current="page">{here}</li>
    </ol>
  </nav>
);
