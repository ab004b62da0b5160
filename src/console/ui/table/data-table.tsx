import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import css from "./data-table.module.css";

export type Column<T> = {
  readonly title: string;
  /** Said, and not shown, where what is in the cells says enough to who sees it. */
  readonly isTitleUnseen?: boolean;
  /** The class of its cells. */
  readonly look?: string | undefined;
  readonly isNumber?: boolean;
  /** What its cell says in a last row, which is about all of the others. */
  readonly foot?: ComponentChildren;
  readonly cell: (row: T) => ComponentChildren;
};

const classOf = (...words: readonly (string | undefined | false)[]): string =>
  words.filter((word) => word !== undefined && word !== false && word !== "").join(" ");

/** Rows with the same columns. Its roles are said, for narrow screens show it as blocks. */
export function DataTable<T, K extends string | number>(props: {
  caption: string;
  /** How it shows on narrow screens: as its own class says, with a line for each cell, or as on wide ones. */
  look: string | undefined;
  columns: readonly Column<T>[];
  rows: readonly T[];
  keyOf: (row: T) => K;
  /** True while the rows are those of another page. */
  isStale?: boolean;
  /** Is told which rows come on the screen, or near it, and which leave it. */
  onSeen?: (key: K, isSeen: boolean) => void;
}) {
  const { columns, keyOf, onSeen } = props;
  return (
    <div class={css.place} aria-busy={props.isStale ?? false}>
      <table class={classOf(css.table, props.look)} role="table">
        <caption class="unseen">{props.caption}</caption>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map(({ title, isTitleUnseen, isNumber }) => (
              <th key={title} role="columnheader" scope="col" class={isNumber === true ? "number" : ""}>
                {isTitleUnseen === true ? <span class="unseen">{title}</span> : title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {props.rows.map((row) => (
            <Row key={keyOf(row)} id={keyOf(row)} row={row} columns={columns} onSeen={onSeen} />
          ))}
        </tbody>
        {columns.some(({ foot }) => foot !== undefined) && (
          <tfoot role="rowgroup">
            <tr role="row">
              {columns.map(({ title, look, isNumber, foot }) => (
                <td key={title} role="cell" class={classOf(look, isNumber === true && "number")}>
                  {foot}
                </td>
              ))}
            </tr>
          </tfoot>
        )}
      </table>
    </div>
  );
}

const watched = new WeakMap<Element, (isSeen: boolean) => void>();
let sight: IntersectionObserver | undefined;

/** Tells whenever the element comes near to what is on the screen, or leaves it; answers how to end that. */
function watchSight(element: Element, told: (isSeen: boolean) => void): () => void {
  sight ??= new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) watched.get(target)?.(isIntersecting);
    },
    { rootMargin: "50% 0%" },
  );
  watched.set(element, told);
  sight.observe(element);
  return () => {
    sight?.unobserve(element);
    watched.delete(element);
  };
}

/** Draws itself again when what its own cells listen to changes, and only then. */
function Row<T, K>(props: {
  id: K;
  row: T;
  columns: readonly Column<T>[];
  onSeen: ((key: K, isSeen: boolean) => void) | undefined;
}) {
  const { id, row, columns, onSeen } = props;
  const place = useRef<HTMLTableRowElement>(null);
  useEffect(() => {
    if (onSeen === undefined || place.current === null) return;
    const stop = watchSight(place.current, (isSeen) => onSeen(id, isSeen));
    return () => {
      stop();
      onSeen(id, false);
    };
  }, [id, onSeen]);
  return (
    <tr role="row" ref={place}>
      {columns.map(({ title, look, isNumber, cell }) => (
        <td key={title} role="cell" class={classOf(look, isNumber === true && "number")} data-label={title}>
          {cell(row)}
        </td>
      ))}
    </tr>
  );
}

/** Has a line for each cell on narrow screens. */
export const stacking = css.stacking;
/** Stands within a card: without a frame of its own. */
export const within = css.within;
/** For cells whose words may be longer than the line. */
export const wrapping = css.wrapping;
