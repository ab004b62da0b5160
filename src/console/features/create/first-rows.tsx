import type { ReadAs } from "../../../files/titles.ts";
import { regionName } from "../../ui/form/region-field.tsx";
import { count } from "../../ui/format/numbers.ts";
import type { BadRow, Check, Region } from "./file/check.ts";
import css from "./preview.module.css";

/** Why a row is not sent, in the words of whoever may do something about it. */
export function whyNot({ reason, phone, field, rule }: BadRow, region: Region): string {
  if (reason === "duplicate_phone") return "The number is in an earlier row already";
  if (reason !== "invalid_phone_format") return `${field || "the row"} ${rule}`;
  if (phone === "") return "There is no phone number";
  if (phone.startsWith("+")) return "This is no whole phone number";
  return region === ""
    ? "Without a plus sign its country must be chosen above"
    : `This is no whole phone number (${regionName(region)})`;
}

/** The first rows as they will be sent, or why they will not. */
export function FirstRows(props: { check: Check; columns: readonly ReadAs[]; region: Region }) {
  const { check, columns, region } = props;
  const has = (role: ReadAs["role"]) => columns.some((column) => column.role === role);
  const keys = columns.flatMap(({ role, key }) => (role === "field" ? [key] : []));
  const width = 1 + Number(has("name")) + Number(has("timezone")) + keys.length;
  return (
    <div class={css.scroll} role="region" aria-label="The first rows" tabIndex={0}>
      <table class={css.preview}>
        <caption class="hint">The first rows, as they will be sent</caption>
        <thead>
          <tr>
            <th scope="col" class="number">
              Row
            </th>
            <th scope="col">Phone number</th>
            {has("name") && <th scope="col">Name</th>}
            {has("timezone") && <th scope="col">Time zone</th>}
            {keys.map((key, i) => (
              <th key={i} scope="col">
                <bdi>{key}</bdi>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {check.first.map((row) => (
            <tr key={row.line}>
              <td class="number">{count(row.line)}</td>
              {"bad" in row ? (
                <td colSpan={width}>
                  <bdi>{row.bad.phone}</bdi>{" "}
                  <span class="problem">is not sent: {whyNot(row.bad, region)}</span>
                </td>
              ) : (
                <>
                  <td>{row.contact.phone}</td>
                  {has("name") && (
                    <td>
                      <bdi>{row.contact.name}</bdi>
                    </td>
                  )}
                  {has("timezone") && <td>{row.contact.timezone}</td>}
                  {keys.map((key, i) => (
                    <td key={i}>
                      <bdi>{row.contact.fields[key]}</bdi>
                    </td>
                  ))}
                </>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
