import { useState } from "preact/hooks";
import {
  type SuppressedPhone,
  SuppressionService,
} from "../../../gen/callsheet/v1/suppression_service_pb.ts";
import { clientOf } from "../../data/service/client.ts";
import { insist } from "../../data/service/insist.ts";
import { newRequestId } from "../../data/service/request-id.ts";
import { href, route } from "../../data/page/route.ts";
import { mayChange } from "../../data/service/session.ts";
import { loaded, useLoad } from "../../data/load/use-load.ts";
import { chosenCountry, isInternational, readIn, useNumbers } from "../../data/load/use-numbers.ts";
import { callOf } from "../../ui/form/as-curl.tsx";
import { type Column, wrapping } from "../../ui/table/data-table.tsx";
import { Field, describedBy } from "../../ui/form/field.tsx";
import { Form } from "../../ui/form/form.tsx";
import { RegionField } from "../../ui/form/region-field.tsx";
import { counted } from "../../ui/format/numbers.ts";
import { dateOf, dayAndTime, viewerZone } from "../../ui/format/times.ts";
import { Heading } from "../../ui/page/heading.tsx";
import { Notice } from "../../ui/page/notice.tsx";
import { PagedTable } from "../../ui/table/paged-table.tsx";
import { readTrail } from "../../ui/table/pager.tsx";

const suppression = clientOf(SuppressionService);
const pageSize = 50;
const tries = 4;

const reload = () => loaded.invalidateQueries({ queryKey: ["never call"] });

/** The phones that nobody of the organization calls, whatever job they are in. */
export function NeverCallView() {
  const { query } = route.value;
  const trail = readTrail(query.get("page"));
  const asked = { pageSize, pageToken: trail.at(-1) ?? "" };
  const { data, refusal, isStale } = useLoad(["never call", asked], (signal) =>
    suppression.listSuppressedPhones(asked, { signal }),
  );
  const columns: readonly Column<SuppressedPhone>[] = [
    { title: "Phone", look: "phone", cell: ({ phone }) => phone },
    { title: "Reason", look: wrapping, cell: ({ reason }) => <bdi>{reason}</bdi> },
    { title: "Added", cell: ({ addedAt }) => dayAndTime(dateOf(addedAt) ?? new Date(0), viewerZone) },
    {
      title: "Until",
      cell: ({ expiresAt }) => {
        const at = dateOf(expiresAt);
        return at === undefined ? <span class="quiet">for good</span> : dayAndTime(at, viewerZone);
      },
    },
  ];
  return (
    <>
      <Heading title="Never call" />
      <p class="quiet">
        Nobody on this list is called, in any job, from the moment that they are on it. A job that has them
        shows them as “Never-call list”.
      </p>
      <div class="halves">
        <Look />
        {mayChange() && <Add />}
      </div>
      <PagedTable
        caption="Phones that are never called"
        columns={columns}
        rows={data?.suppressedPhones}
        keyOf={({ phone }) => phone}
        isStale={isStale}
        refusal={refusal}
        what="the list"
        none="Nobody is on the list."
        pages="Pages of phones"
        trail={trail}
        next={data?.nextPageToken ?? ""}
        hrefOf={(steps) => href(["never-call"], { page: steps.join(",") })}
      />
    </>
  );
}

/** Lines of phones; empty ones are none. */
const phonesIn = (text: string): string[] =>
  text
    .split(/[\n,;]/)
    .map((line) => line.trim())
    .filter((line) => line !== "");

const stillLoading = "The countries are still being loaded. Try again in a moment.";
const mostAtOnce = 10_000;

/** Of which country numbers are that do not say it, chosen where there are such. */
function useCountry(id: string, written: readonly string[]) {
  const isNeeded = written.some((each) => !isInternational(each));
  const numbers = useNumbers(isNeeded);
  const region = chosenCountry.value;
  const read = (each: string): string => readIn(numbers, each, region) ?? each;
  const field = isNeeded && numbers !== undefined && (
    <RegionField
      id={id}
      regions={numbers.regions()}
      region={region}
      none="Choose the country"
      onChange={(next) => (chosenCountry.value = next)}
    />
  );
  const problem = isNeeded && region === "" ? "Choose the country of the numbers without a plus sign." : "";
  return { read, field, problem: isNeeded && numbers === undefined ? stillLoading : problem };
}

function Add() {
  const [text, setText] = useState("");
  const [reason, setReason] = useState("asked not to be called");
  const phones = phonesIn(text);
  const { read, field, problem: countryProblem } = useCountry("added-country", phones);

  const requestOf = (requestId: string) => ({
    requestId,
    phones: phones.map((phone) => ({ phone: read(phone), reason: reason.trim() })),
  });

  async function add(): Promise<string> {
    const request = requestOf(newRequestId());
    const answer = await insist(() => suppression.addSuppressedPhones(request), { tries });
    const bad = answer.rejected.map(({ index }) => phones[index] ?? "").join(", ");
    setText(answer.rejected.map(({ index }) => phones[index] ?? "").join("\n"));
    await reload();
    const already =
      answer.alreadyCount > 0
        ? ` ${counted(answer.alreadyCount, "phone was", "phones were")} on it already.`
        : "";
    const rejected = bad === "" ? "" : ` Not phone numbers: ${bad}.`;
    return `${counted(answer.addedCount, "phone")} added.${already}${rejected}`;
  }

  const problem =
    phones.length === 0
      ? "Give at least one phone number."
      : phones.length > mostAtOnce
        ? "Give at most 10,000 at once."
        : reason.trim() === ""
          ? "Give a reason."
          : countryProblem;
  return (
    <section class="card" aria-labelledby="add-title">
      <h2 id="add-title">Add</h2>
      <Form
        label="Add phones"
        submit="Add to the list"
        problem={problem}
        onSubmit={add}
        call={(requestId) => callOf(SuppressionService.method.addSuppressedPhones, requestOf(requestId))}
      >
        <Field id="phones" label="Phone numbers" hint="One to a line.">
          <textarea
            {...describedBy("phones", undefined)}
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </Field>
        {field}
        <Field id="reason" label="Reason">
          <input
            id="reason"
            maxLength={200}
            value={reason}
            onInput={(event) => setReason(event.currentTarget.value)}
          />
        </Field>
      </Form>
    </section>
  );
}

/** Whether one phone is on the list, and off it again. */
function Look() {
  const [phone, setPhone] = useState("");
  const [found, setFound] = useState<SuppressedPhone>();
  const written = phone.trim() === "" ? [] : [phone];
  const { read, field, problem } = useCountry("looked-up-country", written);
  async function look(): Promise<string> {
    setFound(undefined);
    const request = { phones: [read(phone).trim()] };
    const { suppressedPhones } = await insist(() => suppression.checkSuppressedPhones(request), { tries });
    setFound(suppressedPhones[0]);
    return suppressedPhones.length > 0 ? "" : "This phone is not on the list.";
  }
  return (
    <section class="card" aria-labelledby="look-title">
      <h2 id="look-title">Is somebody on it?</h2>
      <Form
        label="Look a phone up"
        submit="Look"
        problem={phone.trim() === "" ? "Give a phone number." : problem}
        onSubmit={look}
      >
        <Field id="looked-up" label="Phone number">
          <input
            id="looked-up"
            inputMode="tel"
            value={phone}
            onInput={(event) => setPhone(event.currentTarget.value)}
          />
        </Field>
        {field}
      </Form>
      {found?.isErased === true && (
        <Notice tone="warning">
          <span class="phone">{found.phone}</span> is the number of a person who was erased: nobody calls it,
          and nobody can change that.
        </Notice>
      )}
      {found?.isErased === false && (
        <Notice tone="warning">
          <p>
            <span class="phone">{found.phone}</span> is on the list: <bdi>{found.reason}</bdi>.
          </p>
          {mayChange() && <TakeOff phone={found.phone} onDone={() => setFound(undefined)} />}
        </Notice>
      )}
    </section>
  );
}

const TakeOff = ({ phone, onDone }: { phone: string; onDone: () => void }) => (
  <Form
    label="Take off the list"
    submit="Take it off the list"
    look="danger"
    onSubmit={async () => {
      const request = { requestId: newRequestId(), phones: [phone] };
      await insist(() => suppression.removeSuppressedPhones(request), { tries });
      await reload();
      onDone();
      return "";
    }}
    call={(requestId) =>
      callOf(SuppressionService.method.removeSuppressedPhones, { requestId, phones: [phone] })
    }
  />
);
