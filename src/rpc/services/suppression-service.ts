import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate, timestampMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { RejectionReason } from "../../domain/contacts/contact.ts";
import type { SuppressedPhone } from "../../domain/contacts/suppressed-phone.ts";
import type {
  ImportSuppressedPhonesHeader,
  SuppressedPhoneSchema,
  SuppressionService,
} from "../../gen/callsheet/v1/suppression_service_pb.ts";
import type { PhoneImport } from "../../suppression/phone-import.ts";
import type { Suppression } from "../../suppression/suppression.ts";
import { toCommand } from "../commands.ts";
import { at, protoRejectionReasons } from "../convert/convert.ts";
import { callerOf } from "../gate/gate.ts";
import { readImport } from "../convert/import-stream.ts";

const toSuppressedPhone = (entry: SuppressedPhone): MessageInitShape<typeof SuppressedPhoneSchema> => ({
  phone: entry.phone,
  reason: entry.reason,
  addedAt: timestampFromDate(entry.addedAt),
  ...at("expiresAt", entry.expiresAt),
  isErased: entry.isErased,
});

/** What became of phones that were given one by one, or of the rows of a file. */
const toAnswer = <R extends { reason: RejectionReason }>(added: {
  readonly addedCount: number;
  readonly alreadyCount: number;
  readonly rejectedCount: number;
  readonly rejected: readonly R[];
}) => ({
  addedCount: added.addedCount,
  alreadyCount: added.alreadyCount,
  rejectedCount: added.rejectedCount,
  rejected: added.rejected.map((one) => ({ ...one, reason: protoRejectionReasons[one.reason] })),
});

/** Converts, calls, converts: what each RPC does is in src/suppression. */
export function suppressionService(
  suppression: Suppression,
  importPhones: PhoneImport,
): ServiceImpl<typeof SuppressionService> {
  return {
    async addSuppressedPhones(request, context) {
      const inputs = request.phones.map(({ phone, reason, expiresAt }) => ({
        phone,
        reason,
        expiresMs: expiresAt && timestampMs(expiresAt),
      }));
      return toAnswer(await suppression.add(toCommand(request, context), inputs));
    },

    async removeSuppressedPhones(request, context) {
      const { removedCount, erasedCount } = await suppression.remove(
        toCommand(request, context),
        request.phones,
      );
      return { removedCount, erasedCount };
    },

    async checkSuppressedPhones(request, context) {
      const found = await suppression.check(callerOf(context), request.phones);
      return { suppressedPhones: found.map(toSuppressedPhone) };
    },

    async listSuppressedPhones(request, context) {
      const page = { size: request.pageSize, token: request.pageToken };
      const { phones, nextPageToken } = await suppression.list(callerOf(context), request.reason, page);
      return { suppressedPhones: phones.map(toSuppressedPhone), nextPageToken };
    },

    async importSuppressedPhones(parts, context) {
      const { header, file } = await readImport<ImportSuppressedPhonesHeader>(parts);
      const { requestId, reason } = header;
      return toAnswer(await importPhones({ caller: callerOf(context), requestId, reason }, file));
    },
  };
}
