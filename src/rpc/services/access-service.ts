import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate, timestampMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type Access,
  type ApiKey,
  type Organization,
  type SettingChanges,
  settingNames,
} from "../../access/access.ts";
import type { Role } from "../../domain/caller.ts";
import {
  type AccessService,
  type ApiKeySchema,
  type OrganizationSchema,
  OrganizationSettingsSchema,
  type UpdateOrganizationRequest,
} from "../../gen/callsheet/v1/access_service_pb.ts";
import { readCallingHoursOf, toCallingHours } from "../convert/calling-hours.ts";
import { toCommand } from "../commands.ts";
import { at, protoRoles, readRoles } from "../convert/convert.ts";
import { callerOf } from "../gate/gate.ts";
import { namedIn } from "../convert/update-mask.ts";

const toApiKey = (key: ApiKey): MessageInitShape<typeof ApiKeySchema> => ({
  apiKeyId: key.id,
  name: key.name,
  role: protoRoles[key.role],
  ...at("createdAt", key.createdAt),
  ...at("expiresAt", key.expiresAt),
  ...at("revokedAt", key.revokedAt),
  ...at("lastUsedAt", key.lastUsedAt),
});

const largestInt32 = 2 ** 31 - 1;

const toOrganization = (organization: Organization): MessageInitShape<typeof OrganizationSchema> => ({
  organizationId: String(organization.id),
  name: organization.name,
  createdAt: timestampFromDate(organization.createdAt),
  dialing: organization.dialing,
  storedContacts: Math.min(organization.storedContacts, largestInt32),
  suppressedPhones: organization.suppressedPhones,
  settings: toSettings(organization.settings),
});

const toSettings = ({ callingHours, ...settings }: Organization["settings"]) => ({
  ...Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== null)),
  ...(callingHours === null ? {} : { callingHours: toCallingHours(callingHours) }),
});

const settingByPath = new Map(
  settingNames.map((name) => [OrganizationSettingsSchema.field[name].name, name] as const),
);

/** The settings that a request changes; null for one that goes back to what the service has. */
function readChanges({ settings, updateMask }: UpdateOrganizationRequest): SettingChanges {
  const { paths = [] } = updateMask ?? {};
  const isAll = paths.length === 1 && paths[0] === "*";
  const named = isAll
    ? settingNames
    : namedIn(updateMask, settingByPath, { also: ", or be * for all of them" });
  const given = settingNames.filter((name) => settings?.[name] !== undefined);
  // Many clients cannot help sending a mask: one that names nothing is none.
  const names = named.length > 0 ? named : given;
  const { callingHours } = settings ?? {};
  const values = {
    ...settings,
    callingHours: callingHours && readCallingHoursOf("settings.calling_hours", callingHours),
  };
  return Object.fromEntries(names.map((name) => [name, values[name] ?? null]));
}

/** Converts, calls, converts: what each RPC does is in src/access. */
export function accessService(access: Access): ServiceImpl<typeof AccessService> {
  return {
    async whoAmI(_request, context) {
      const { key, organization } = await access.whoAmI(callerOf(context));
      return {
        apiKeyId: key.id,
        name: key.name,
        role: protoRoles[key.role],
        organizationId: String(organization.id),
        organizationName: organization.name,
        ...at("expiresAt", key.expiresAt),
      };
    },

    async createApiKey(request, context) {
      const [role = "viewer" satisfies Role] = readRoles([request.role]);
      const { key, secret } = await access.createKey(toCommand(request, context), {
        name: request.name,
        role,
        expiresAtMs: request.expiresAt === undefined ? null : timestampMs(request.expiresAt),
      });
      return { apiKey: toApiKey(key), secret };
    },

    async listApiKeys(request, context) {
      const page = { size: request.pageSize, token: request.pageToken };
      const { keys, nextPageToken } = await access.listKeys(callerOf(context), page);
      return { apiKeys: keys.map(toApiKey), nextPageToken };
    },

    async revokeApiKey(request, context) {
      return { apiKey: toApiKey(await access.revokeKey(toCommand(request, context), request.apiKeyId)) };
    },

    async getOrganization(_request, context) {
      return { organization: toOrganization(await access.getOrganization(callerOf(context))) };
    },

    async updateOrganization(request, context) {
      const command = toCommand(request, context);
      return { organization: toOrganization(await access.updateOrganization(command, readChanges(request))) };
    },
  };
}
