import type { ReadAs, Role } from "../../../files/titles.ts";
import { type Column, DataTable, stacking } from "../../ui/table/data-table.tsx";
import css from "./column-table.module.css";
import { columnName } from "./file/columns.ts";
import type { Part } from "./file/worker.ts";

const roles: readonly (readonly [Role, string])[] = [
  ["phone", "Phone number"],
  ["name", "Name"],
  ["timezone", "Time zone"],
  ["field", "Field"],
  ["none", "Leave out"],
];

/** Only one column can be one of these. */
const once: ReadonlySet<Role> = new Set(["phone", "timezone"]);

/** The columns after one of them is read otherwise: what it takes from another becomes a field there. */
function withRole(columns: readonly ReadAs[], at: number, role: Role): ReadAs[] {
  return columns.map((column, i) => {
    if (i === at) return { role, key: role === "field" ? column.key || columnName(at) : column.key };
    if (column.role !== role || !once.has(role)) return column;
    return { role: column.key === "" ? "none" : "field", key: column.key };
  });
}

type Row = { readonly at: number; readonly title: string; readonly samples: readonly string[] } & ReadAs;

/** What each column of a file is read as, to be chosen. */
export function ColumnTable(props: {
  part: Part;
  columns: readonly ReadAs[];
  onChange: (columns: readonly ReadAs[]) => void;
}) {
  const { part, columns, onChange } = props;
  const rows = columns.flatMap((column, at): Row[] => {
    const samples = part.samples[at] ?? [];
    const title = part.titles[at] || `Column ${at + 1}`;
    return samples.length === 0 && column.role === "empty" ? [] : [{ at, title, samples, ...column }];
  });
  const shown: readonly Column<Row>[] = [
    {
      title: "Column",
      look: "name",
      cell: ({ title }) => (
        <strong>
          <bdi>{title}</bdi>
        </strong>
      ),
    },
    {
      title: "For example",
      look: css.samples,
      cell: ({ samples }) =>
        samples.length === 0 ? (
          <span class="quiet">empty</span>
        ) : (
          <div>
            {samples.map((sample) => (
              <bdi key={sample}>{sample}</bdi>
            ))}
          </div>
        ),
    },
    {
      title: "Read as",
      cell: ({ at, title, role }) => (
        <select
          aria-label={`Read “${title}” as`}
          value={role}
          onChange={(event) => onChange(withRole(columns, at, event.currentTarget.value as Role))}
        >
          {role === "empty" && <option value="empty">Nothing: it must be empty</option>}
          {roles.map(([value, word]) => (
            <option key={value} value={value}>
              {word}
            </option>
          ))}
        </select>
      ),
    },
    {
      title: "Name of the field",
      cell: ({ at, title, role, key }) =>
        role === "field" ? (
          <input
            aria-label={`Name of the field of “${title}”`}
            value={key}
            maxLength={64}
            dir="auto"
            onChange={(event) => {
              const named = { role, key: event.currentTarget.value.trim() };
              onChange(columns.map((column, i) => (i === at ? named : column)));
            }}
          />
        ) : null,
    },
  ];
  return (
    <DataTable
      caption="What each column is read as"
      look={`${stacking} ${css.mapping}`}
      columns={shown}
      rows={rows}
      keyOf={({ at }) => at}
    />
  );
}
