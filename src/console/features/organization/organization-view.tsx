import { useEffect, useState } from "preact/hooks";
import { AccessService, type Organization } from "../../../gen/callsheet/v1/access_service_pb.ts";
import { clientOf } from "../../data/service/client.ts";
import { insist } from "../../data/service/insist.ts";
import { newRequestId } from "../../data/service/request-id.ts";
import { loaded, useLoad } from "../../data/load/use-load.ts";
import { callOf } from "../../ui/form/as-curl.tsx";
import { Field, describedBy } from "../../ui/form/field.tsx";
import { Form } from "../../ui/form/form.tsx";
import { counted } from "../../ui/format/numbers.ts";
import { Heading } from "../../ui/page/heading.tsx";
import { daysOf, daysProblem, hoursProblem, rowsOf, toHours } from "../../ui/settings/hours.ts";
import { Days, Hours } from "../../ui/settings/hours.tsx";
import { Loading, Notice } from "../../ui/page/notice.tsx";

const access = clientOf(AccessService);
const key = ["organization"] as const;
const tries = 4;

const limits = [
  ["leaseLimit", "lease_limit", "Calls at once, at most", "Over all jobs together."],
  ["callsPerSecond", "calls_per_second", "New calls a second, at most", "Over all jobs. Empty for no limit."],
  ["storedContactLimit", "stored_contact_limit", "Contacts, at most", "Of all jobs. Empty for no limit."],
  ["suppressedPhoneLimit", "suppressed_phone_limit", "Phones never called, at most", "Empty for no limit."],
] as const;

const isNumber = (text: string): boolean => text.trim() === "" || /^\d+(\.\d+)?$/.test(text.trim());

type Limit = (typeof limits)[number][0];

/** What holds for all jobs of the organization. */
export function OrganizationView() {
  const { data, refusal } = useLoad(key, (signal) => access.getOrganization({}, { signal }));
  const organization = data?.organization;
  return (
    <>
      <Heading title="Organization" />
      {refusal && <Notice tone="bad">{refusal.message}</Notice>}
      {organization === undefined && refusal === undefined && <Loading what="the organization" />}
      {organization && <Settings key={organization.organizationId} organization={organization} />}
    </>
  );
}

const textOf = ({ settings }: Organization, limit: Limit): string => String(settings?.[limit] ?? "");

function Settings({ organization }: { organization: Organization }) {
  const [texts, setTexts] = useState<Record<Limit, string>>(() => textsOf(organization));
  const [hours, setHours] = useState(() => rowsOf(organization.settings?.callingHours));
  const [days, setDays] = useState(() => daysOf(organization.settings?.callingHours));
  useEffect(() => {
    setTexts(textsOf(organization));
    setHours(rowsOf(organization.settings?.callingHours));
    setDays(daysOf(organization.settings?.callingHours));
  }, [organization]);
  const wrong = limits.find(([limit]) => !isNumber(texts[limit]));
  const { hours: wrongHours } = hoursProblem(hours);
  const { days: wrongDays } = daysProblem(days);

  function requestOf(requestId: string) {
    const given = limits.flatMap(([limit]) =>
      texts[limit].trim() === "" ? [] : [[limit, Number(texts[limit])] as const],
    );
    const callingHours = toHours({ hours, days }, organization.settings?.callingHours);
    return {
      requestId,
      settings: { ...Object.fromEntries(given), ...(callingHours === undefined ? {} : { callingHours }) },
      updateMask: { paths: [...limits.map(([, field]) => field), "calling_hours"] },
    };
  }

  async function save(): Promise<string> {
    const request = requestOf(newRequestId());
    await insist(() => access.updateOrganization(request), { tries });
    await loaded.invalidateQueries({ queryKey: key });
    return "Saved. It holds from now on.";
  }

  return (
    <section class="card" aria-label="Settings of the organization">
      <p>
        <strong>
          <bdi>{organization.name}</bdi>
        </strong>{" "}
        <span class="quiet">
          {counted(organization.storedContacts, "contact")} · {counted(organization.dialing, "call")} in
          progress · {counted(organization.suppressedPhones, "phone")} never called
        </span>
      </p>
      <Form
        label="Settings of the organization"
        submit="Save"
        problem={wrong === undefined ? (wrongHours ?? wrongDays ?? "") : `“${wrong[2]}” must be a number.`}
        onSubmit={save}
        call={(requestId) => callOf(AccessService.method.updateOrganization, requestOf(requestId))}
      >
        <div class="when">
          {limits.map(([limit, , label, hint]) => (
            <Field key={limit} id={limit} label={label} hint={hint}>
              <input
                {...describedBy(limit, undefined)}
                inputMode="decimal"
                value={texts[limit]}
                onInput={(event) => setTexts({ ...texts, [limit]: event.currentTarget.value })}
              />
            </Field>
          ))}
        </div>
        <Hours hours={hours} problem={wrongHours} onChange={(next) => setHours([...next])} />
        {hours.length > 0 && <Days days={days} problem={wrongDays} onChange={(next) => setDays([...next])} />}
        <p class="hint">No job calls outside of these hours, whatever hours it has itself.</p>
      </Form>
    </section>
  );
}

const textsOf = (organization: Organization): Record<Limit, string> => ({
  leaseLimit: textOf(organization, "leaseLimit"),
  callsPerSecond: textOf(organization, "callsPerSecond"),
  storedContactLimit: textOf(organization, "storedContactLimit"),
  suppressedPhoneLimit: textOf(organization, "suppressedPhoneLimit"),
});
