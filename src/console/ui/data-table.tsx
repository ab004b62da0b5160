import type { ComponentChildren } from "preact";

export type Column<T> = {
  readonly title: string;
  /** The class of its cells. */
  readonly look?: string;
  readonly isNumber?: boolean;
  readonly cell: (row: T) => ComponentChildren;
};

const classOf = ({ look = "", isNumber = false }: Column<never>): string =>
  `${look}${isNumber ? " number" : ""}`.trim();

/** Rows with the same columns. Its roles are said, for narrow screens show it as blocks. */
export const DataTable = <T,>(props: {
  caption: string;
  /** The class of the table. */
  look: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  keyOf: (row: T) => string | number;
  /** True while the rows are those of another page. */
  isStale?: boolean;
}) => (
  <div aria-busy={props.isStale ?? false}>
    <table class={`data ${props.look}`} role="table">
      <caption class="unseen">{props.caption}</caption>
      <thead role="rowgroup">
        <tr role="row">
          {props.columns.map((column) => (
            <th key={column.title} role="columnheader" scope="col" class={column.isNumber ? "number" : ""}>
              {column.title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {props.rows.map((row) => (
          <Row key={props.keyOf(row)} row={row} columns={props.columns} />
        ))}
      </tbody>
    </table>
  </div>
);

/** Draws itself again when what its own cells listen to changes, and only then. */
function Row<T>({ row, columns }: { row: T; columns: readonly Column<T>[] }) {
  return (
    <tr role="row">
      {columns.map((column) => (
        <td key={column.title} role="cell" class={classOf(column)} data-label={column.title}>
          {column.cell(row)}
        </td>
      ))}
    </tr>
  );
}
