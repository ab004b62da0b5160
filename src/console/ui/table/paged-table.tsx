import { type Column, DataTable, stacking } from "./data-table.tsx";
import { Empty, Loading, Notice } from "../page/notice.tsx";
import { Pager } from "./pager.tsx";

/** A page of a list, what there is to say while there is none, and the way to the others. */
export const PagedTable = <T,>(props: {
  caption: string;
  columns: readonly Column<T>[];
  /** Undefined until they are here. */
  rows: readonly T[] | undefined;
  keyOf: (row: T) => string;
  /** True while the rows are those of another page. */
  isStale: boolean;
  refusal: { readonly message: string } | undefined;
  /** What is waited for, and what is said where there is nothing. */
  what: string;
  none: string;
  pages: string;
  trail: readonly string[];
  next: string;
  hrefOf: (trail: readonly string[]) => string;
}) => {
  const { rows, refusal } = props;
  return (
    <>
      {refusal && <Notice tone="bad">{refusal.message}</Notice>}
      {rows === undefined && refusal === undefined && <Loading what={props.what} />}
      {rows?.length === 0 && <Empty title={props.none} />}
      {rows !== undefined && rows.length > 0 && (
        <DataTable
          caption={props.caption}
          look={stacking}
          columns={props.columns}
          rows={rows}
          keyOf={props.keyOf}
          isStale={props.isStale}
        />
      )}
      <Pager
        label={props.pages}
        headingId="title"
        trail={props.trail}
        next={props.next}
        hrefOf={props.hrefOf}
      />
    </>
  );
};
