import type { Value } from "@bufbuild/protobuf/wkt";
import { ActorKind, type Event, type EventActor } from "../../../../gen/callsheet/v1/event_pb.ts";
import { counted } from "../../../ui/format/numbers.ts";
import { dateOf, dayAndTime, duration, msOf, viewerZone } from "../../../ui/format/times.ts";
import { startWords } from "../../../ui/format/wall-time.ts";
import { failureReasonWords } from "../../../ui/format/words.ts";

/** Who or what did it. */
export function actorWords(actor: EventActor | undefined): string {
  switch (actor?.kind) {
    case ActorKind.API_KEY:
      return actor.apiKeyName || "a key without a name";
    case ActorKind.COMMAND_LINE:
      return "somebody at the command line";
    case ActorKind.SCHEDULER:
      return "its time came";
    case ActorKind.BREAKER:
      return "the job itself";
    default:
      return "the service";
  }
}

/** A value as it is told of a setting. */
function valueWords(value: Value | undefined): string {
  switch (value?.kind.case) {
    case "stringValue":
    case "numberValue":
    case "boolValue":
      return String(value.kind.value);
    case "listValue":
      return value.kind.value.values.map(valueWords).join(", ") || "none";
    case "structValue":
      return "changed";
    default:
      return "none";
  }
}

const fieldWords = (field: string): string => field.replaceAll("_", " ");

/** What happened, in sentences; the first says it in short. */
export function eventWords({ type, data }: Event): string[] {
  switch (data.case) {
    case "batchJobCreated":
      return [
        data.value.totalContacts === 0
          ? "Created"
          : `Created with ${counted(data.value.totalContacts, "contact")}`,
      ];
    case "settingsUpdated":
      return [
        "Settings changed",
        ...data.value.changes.map(({ field, before, after }) =>
          before === undefined && after === undefined
            ? fieldWords(field)
            : `${fieldWords(field)}: ${valueWords(before)} → ${valueWords(after)}`,
        ),
      ];
    case "contactsAdded":
      return [`${counted(data.value.acceptedContacts, "contact")} added`];
    case "batchJobScheduled": {
      const verb = data.value.oldScheduledStartTime === undefined ? "Scheduled for" : "Moved to";
      return [`${verb} ${startWords(data.value)}`];
    }
    case "batchJobStarted": {
      const { startLag } = data.value;
      return startLag === undefined
        ? ["Started by hand"]
        : ["Started at its time", `${duration(msOf(startLag))} after it`];
    }
    case "batchJobPaused": {
      const until = dateOf(data.value.resumeAt);
      return [
        data.value.pauseReason === "" ? "Paused" : "Paused itself: too many attempts ended badly",
        ...(until === undefined ? [] : [`It goes on by itself at ${dayAndTime(until, viewerZone)}.`]),
      ];
    }
    case "batchJobResumed":
      return ["Resumed"];
    case "batchJobEnded": {
      const { failureReason } = data.value;
      return [
        endWords[type] ?? type,
        ...(failureReason === "" ? [] : [failureReasonWords[failureReason] ?? failureReason]),
      ];
    }
    default:
      return [type];
  }
}

const endWords: Readonly<Record<string, string>> = {
  "batch_job.completed": "Completed",
  "batch_job.failed": "Failed",
  "batch_job.cancelled": "Cancelled",
  "batch_job.deleted": "Deleted",
};
