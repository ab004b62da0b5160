import type { ComponentChildren } from "preact";
import { href } from "../data/route.ts";
import css from "./crumbs.module.css";

/** Where the view is: under the list of jobs, and perhaps under `children`, one link. */
export const Crumbs = ({ here, children }: { here: ComponentChildren; children?: ComponentChildren }) => (
  <nav aria-label="Where you are">
    <ol class={css.crumbs}>
      <li>
        <a href={href(["jobs"])}>Jobs</a>
      </li>
      {children !== undefined && <li>{children}</li>}
      <li aria-current="page">{here}</li>
    </ol>
  </nav>
);
