import { useState } from "preact/hooks";
import type { Call } from "../../ui/form/as-curl.tsx";
import { Field, describedBy } from "../../ui/form/field.tsx";
import { Form } from "../../ui/form/form.tsx";
import { EventChoice } from "./event-choice.tsx";

/** What can be said of an endpoint. */
export type EndpointSettings = {
  readonly url: string;
  readonly description: string;
  readonly types: string[];
};

export const nothingGiven: EndpointSettings = { url: "", description: "", types: [] };

/** Makes an endpoint, or changes one. */
export function EndpointForm(props: {
  id: string;
  label: string;
  submit: string;
  given: EndpointSettings;
  /** Does it; answers what is to be said to that. */
  onSubmit: (settings: EndpointSettings) => Promise<string>;
  /** The call that it would make. */
  call: (settings: EndpointSettings, requestId: string) => Call;
}) {
  const [{ url, description, types }, setSettings] = useState(props.given);
  const settings = { url: url.trim(), description: description.trim(), types: [...types] };
  const change = (some: Partial<EndpointSettings>) => setSettings((before) => ({ ...before, ...some }));
  const [urlId, descriptionId] = [`${props.id}-url`, `${props.id}-description`];
  return (
    <Form
      label={props.label}
      submit={props.submit}
      problem={url.trim() === "" ? "Say where to send to." : ""}
      onSubmit={() => props.onSubmit(settings)}
      call={(requestId) => props.call(settings, requestId)}
    >
      <Field id={urlId} label="URL" hint="https, and an address that is public">
        <input
          {...describedBy(urlId, undefined)}
          type="url"
          maxLength={2_048}
          placeholder="https://"
          value={url}
          onInput={(event) => change({ url: event.currentTarget.value })}
        />
      </Field>
      <Field id={descriptionId} label="What it is for" hint="May be left empty.">
        <input
          {...describedBy(descriptionId, undefined)}
          maxLength={200}
          value={description}
          onInput={(event) => change({ description: event.currentTarget.value })}
        />
      </Field>
      <EventChoice types={types} onChange={(chosen) => change({ types: chosen })} />
    </Form>
  );
}
