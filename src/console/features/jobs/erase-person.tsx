import { useRef, useState } from "preact/hooks";
import { BatchJobService } from "../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { loaded } from "../../data/load/use-load.ts";
import { service } from "../../data/service/client.ts";
import { insist } from "../../data/service/insist.ts";
import { newRequestId } from "../../data/service/request-id.ts";
import { callOf } from "../../ui/form/as-curl.tsx";
import { Dialog } from "../../ui/form/dialog.tsx";
import { Field, describedBy } from "../../ui/form/field.tsx";
import { Form } from "../../ui/form/form.tsx";
import { counted } from "../../ui/format/numbers.ts";
import { Notice } from "../../ui/page/notice.tsx";
import css from "./bulk/bulk.module.css";

/** Under which the contacts of persons are loaded. */
export const foundKey = ["found"] as const;

const tries = 10;

const digitsIn = (text: string): string => text.replaceAll(/\D/g, "");

/** For an admin: has the service forget a person, in all jobs and for good. */
export function ErasePerson({ phone }: { phone: string }) {
  const [isOpen, setOpen] = useState(false);
  const [erased, setErased] = useState<number>();
  return (
    <section class="card" aria-labelledby="erase-title">
      <h2 id="erase-title">Erase this person</h2>
      <p>Their number, name and fields are taken out of every job, and they are not called again.</p>
      <div class="actions">
        <button type="button" class="danger" onClick={() => setOpen(true)}>
          Erase this person
        </button>
      </div>
      {erased !== undefined && (
        <Notice tone="good">
          This person is erased: {erased === 0 ? "no job had them" : counted(erased, "contact")}.
        </Notice>
      )}
      {isOpen && <EraseDialog phone={phone} onErased={setErased} onClose={() => setOpen(false)} />}
    </section>
  );
}

function EraseDialog(props: { phone: string; onErased: (contacts: number) => void; onClose: () => void }) {
  const { phone, onClose } = props;
  const [reason, setReason] = useState("");
  const [typed, setTyped] = useState("");
  // What breaks off goes on where it is sent again.
  const requestId = useRef(newRequestId());
  const requestOf = (id: string) => ({ requestId: id, phone, reason: reason.trim() });
  const isSame = digitsIn(typed) === digitsIn(phone);
  const problem =
    reason.trim() === ""
      ? "Say why, for the log."
      : isSame
        ? ""
        : "Type the number of the person as it stands above, to confirm that it is this one.";

  async function erase(): Promise<string> {
    const request = requestOf(requestId.current);
    const { erasedContacts } = await insist(() => service.eraseContacts(request), { tries });
    props.onErased(erasedContacts);
    onClose();
    await loaded.invalidateQueries({ queryKey: foundKey });
    return "";
  }

  return (
    <Dialog title="Erase this person?" onClose={onClose}>
      <p class="phone">{phone}</p>
      <ul class={css.sentences}>
        <li>
          Nobody can bring back what is erased: their number, their name, and all that was known of them.
        </li>
        <li>Counts and results of jobs stay, without who it was.</li>
        <li>A call that goes on ends by itself; after it they are not called again, by any job.</li>
      </ul>
      <Form
        label="Erase this person"
        submit="Erase for good"
        look="danger"
        problem={problem}
        onSubmit={erase}
        call={(id) => callOf(BatchJobService.method.eraseContacts, requestOf(id))}
        beside={
          <button type="button" onClick={onClose}>
            Keep them
          </button>
        }
      >
        <Field id="erase-reason" label="Why" hint="The log keeps it: do not say who it is.">
          <input
            {...describedBy("erase-reason", undefined)}
            maxLength={200}
            value={reason}
            onInput={(event) => setReason(event.currentTarget.value)}
          />
        </Field>
        <Field id="erase-phone" label="Their phone number" hint="Typed once more.">
          <input
            {...describedBy("erase-phone", undefined)}
            type="tel"
            autoComplete="off"
            maxLength={64}
            value={typed}
            onInput={(event) => setTyped(event.currentTarget.value)}
          />
        </Field>
      </Form>
    </Dialog>
  );
}
