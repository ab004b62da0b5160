import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { useState } from "preact/hooks";
import { AccessService, type ApiKey } from "../../../gen/callsheet/v1/access_service_pb.ts";
import { Role } from "../../../gen/callsheet/v1/options_pb.ts";
import { clientOf } from "../../data/service/client.ts";
import { insist } from "../../data/service/insist.ts";
import { newRequestId } from "../../data/service/request-id.ts";
import { route } from "../../data/page/route.ts";
import { loaded, useLoad } from "../../data/load/use-load.ts";
import { callOf } from "../../ui/form/as-curl.tsx";
import { type Column, wrapping } from "../../ui/table/data-table.tsx";
import { Dialog } from "../../ui/form/dialog.tsx";
import { Field, describedBy } from "../../ui/form/field.tsx";
import { Form } from "../../ui/form/form.tsx";
import { dateOf, dayAndTime, viewerZone } from "../../ui/format/times.ts";
import { roleWords } from "../../ui/format/words.ts";
import { Heading } from "../../ui/page/heading.tsx";
import { Notice } from "../../ui/page/notice.tsx";
import { PagedTable } from "../../ui/table/paged-table.tsx";
import { readTrail } from "../../ui/table/pager.tsx";
import { keysAddress } from "./address.ts";

const access = clientOf(AccessService);
const pageSize = 50;
const tries = 4;

const when = (at: ApiKey["createdAt"], otherwise: string) => {
  const date = dateOf(at);
  return date === undefined ? <span class="quiet">{otherwise}</span> : dayAndTime(date, viewerZone);
};

const reload = () => loaded.invalidateQueries({ queryKey: ["keys"] });

/** The keys of the organization: one for each person and program, so that one can be taken back alone. */
export function KeysView() {
  const trail = readTrail(route.value.query.get("page"));
  const asked = { pageSize, pageToken: trail.at(-1) ?? "" };
  const { data, refusal, isStale } = useLoad(["keys", asked], (signal) =>
    access.listApiKeys(asked, { signal }),
  );
  const [revoking, setRevoking] = useState<ApiKey>();
  const columns: readonly Column<ApiKey>[] = [
    { title: "Name", look: wrapping, cell: ({ name }) => <bdi>{name || "–"}</bdi> },
    { title: "Role", cell: ({ role }) => roleWords.get(role) ?? "" },
    { title: "Created", cell: ({ createdAt }) => when(createdAt, "") },
    { title: "Last used", cell: ({ lastUsedAt }) => when(lastUsedAt, "never") },
    {
      title: "Ends",
      cell: ({ expiresAt, revokedAt }) =>
        revokedAt === undefined ? when(expiresAt, "never") : <>revoked {when(revokedAt, "")}</>,
    },
    {
      title: "Revoke",
      cell: (key) =>
        key.revokedAt === undefined && (
          <button type="button" class="danger" onClick={() => setRevoking(key)}>
            Revoke
          </button>
        ),
    },
  ];
  return (
    <>
      <Heading title="People and keys" />
      <NewKey />
      <PagedTable
        caption="API keys, the newest first"
        columns={columns}
        rows={data?.apiKeys}
        keyOf={({ apiKeyId }) => apiKeyId}
        isStale={isStale}
        refusal={refusal}
        what="the keys"
        none="There are no keys here."
        pages="Pages of keys"
        trail={trail}
        next={data?.nextPageToken ?? ""}
        hrefOf={keysAddress}
      />
      {revoking !== undefined && <RevokeDialog apiKey={revoking} onClose={() => setRevoking(undefined)} />}
    </>
  );
}

const roles = [Role.OPERATOR, Role.VIEWER, Role.WORKER, Role.ADMIN] as const;

const whatRolesMay: ReadonlyMap<Role, string> = new Map([
  [Role.OPERATOR, "makes and runs jobs"],
  [Role.VIEWER, "looks, and changes nothing"],
  [Role.WORKER, "for the program that places calls"],
  [Role.ADMIN, "everything, keys included"],
]);

function NewKey() {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>(Role.OPERATOR);
  const [until, setUntil] = useState("");
  const [made, setMade] = useState<{ name: string; secret: string }>();

  const requestOf = (requestId: string) => ({
    requestId,
    name: name.trim(),
    role,
    ...(until === "" ? {} : { expiresAt: timestampFromDate(new Date(`${until}T23:59:59Z`)) }),
  });

  async function create(): Promise<string> {
    const request = requestOf(newRequestId());
    const { secret } = await insist(() => access.createApiKey(request), { tries });
    setMade({ name: name.trim(), secret });
    setName("");
    await reload();
    return secret === "" ? "The key was made, and its answer was lost: revoke it, and make another." : "";
  }

  return (
    <section class="card" aria-labelledby="new-key-title">
      <h2 id="new-key-title">New key</h2>
      <Form
        label="New key"
        submit="Make a key"
        problem={name.trim() === "" ? "Say whom or what the key is for." : ""}
        onSubmit={create}
        call={(requestId) => callOf(AccessService.method.createApiKey, requestOf(requestId))}
      >
        <div class="when">
          <Field id="key-name" label="For whom, or for what">
            <input
              id="key-name"
              maxLength={200}
              value={name}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          </Field>
          <Field id="key-role" label="Role">
            <select
              id="key-role"
              value={role}
              onChange={(event) => setRole(Number(event.currentTarget.value) as Role)}
            >
              {roles.map((value) => (
                <option key={value} value={value}>
                  {roleWords.get(value)}: {whatRolesMay.get(value)}
                </option>
              ))}
            </select>
          </Field>
          <Field id="key-until" label="Last day" hint="Empty for no end. By UTC.">
            <input
              {...describedBy("key-until", undefined)}
              type="date"
              value={until}
              onInput={(event) => setUntil(event.currentTarget.value)}
            />
          </Field>
        </div>
      </Form>
      {made !== undefined && made.secret !== "" && (
        <Notice tone="good">
          <p>
            This is the key for <bdi>{made.name}</bdi>. It is shown here once, and nowhere again:
          </p>
          <p class="code" data-secret>
            {made.secret}
          </p>
          <button type="button" onClick={() => setMade(undefined)}>
            It is kept; hide it
          </button>
        </Notice>
      )}
    </section>
  );
}

const RevokeDialog = ({ apiKey, onClose }: { apiKey: ApiKey; onClose: () => void }) => (
  <Dialog title="Revoke this key?" onClose={onClose}>
    <p>
      <strong>
        <bdi>{apiKey.name || apiKey.apiKeyId}</bdi>
      </strong>{" "}
      ({roleWords.get(apiKey.role)})
    </p>
    <p>Whoever uses it is signed out within seconds, for good. Calls that are going on end by themselves.</p>
    <Form
      label="Revoke the key"
      submit="Revoke the key"
      look="danger"
      onSubmit={async () => {
        const request = { requestId: newRequestId(), apiKeyId: apiKey.apiKeyId };
        await insist(() => access.revokeApiKey(request), { tries });
        await reload();
        onClose();
        return "";
      }}
      call={(requestId) =>
        callOf(AccessService.method.revokeApiKey, { requestId, apiKeyId: apiKey.apiKeyId })
      }
      beside={
        <button type="button" onClick={onClose}>
          Keep the key
        </button>
      }
    />
  </Dialog>
);
