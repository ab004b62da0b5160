import type { ComponentChildren } from "preact";
import { counted } from "../../../ui/format/numbers.ts";
import { dayAndTime, viewerZone } from "../../../ui/format/times.ts";
import { outcomeWords } from "../../../ui/format/words.ts";
import { weekdays } from "../../../ui/settings/hours.tsx";
import type { Settings } from "../../../ui/settings/settings.ts";
import look from "../../../ui/figure/facts.module.css";
import type { Check } from "../file/check.ts";
import type { ChosenFile } from "../file/chosen-file.ts";
import { Tallies, leftOut } from "../file-review.tsx";
import card from "../file-card.module.css";
import { NeverCalledSaid } from "./never-called.tsx";
import { useNeverCalled } from "./use-never-called.ts";

/** What a new job comes to, before anything of it is sent. */
export const Review = (props: { file: ChosenFile; check: Check; settings: Settings }) => (
  <div class="halves">
    <People file={props.file} check={props.check} />
    <Calls settings={props.settings} />
  </div>
);

function People({ file, check }: { file: ChosenFile; check: Check }) {
  const neverCalled = useNeverCalled(file, check.accepted);
  const left = leftOut(check);
  return (
    <section class="card" aria-labelledby="people-title">
      <h2 id="people-title">People</h2>
      <p class={card.fileName}>
        From <bdi>{file.name}</bdi>:
      </p>
      <Tallies check={check} />
      {left > 0 && <p class="quiet">{counted(left, "row")} will not be sent.</p>}
      <NeverCalledSaid known={neverCalled} people={check.accepted} />
    </section>
  );
}

const Fact = ({ name, children }: { name: string; children: ComponentChildren }) => (
  <div>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </div>
);

const wordsOf = (outcomes: readonly number[]): string =>
  outcomes.map((outcome) => (outcomeWords.get(outcome) ?? "").toLowerCase()).join(", ");

/** "5, then 30 minutes" of "5, 30". */
function waits(minutes: string): string {
  const parts = minutes.split(",").map((part) => part.trim());
  return `${parts.join(", then ")} ${parts.join() === "1" ? "minute" : "minutes"}`;
}

const daysIn = (days: readonly number[]): string =>
  days
    .toSorted((one, other) => one - other)
    .map((day) => weekdays[day - 1])
    .join(", ");

const Hours = ({ hours, days, timezone, zonesFromPhone }: Settings) =>
  hours.length === 0 ? (
    <>At any time of the day, on every day</>
  ) : (
    <ul>
      {hours.map((row, i) => (
        <li key={i}>
          {daysIn(row.days)}: {row.start} to {row.end}
        </li>
      ))}
      {days.map(({ date, windows }) => (
        <li key={date}>
          {date}: {windows.map(({ start, end }) => `${start} to ${end}`).join(", ") || "closed"}
        </li>
      ))}
      <li class="quiet">
        {zonesFromPhone ? "by the time where each phone number is" : `by the time in ${timezone}`}
      </li>
    </ul>
  );

function Calls({ settings }: { settings: Settings }) {
  const { pause, labels } = settings;
  const attempts = Number(settings.maxAttempts);
  return (
    <section class="card" aria-labelledby="calls-title">
      <h2 id="calls-title">Calls</h2>
      <dl class={look.facts}>
        <Fact name="Job">
          <bdi>{settings.name.trim()}</bdi>
        </Fact>
        <Fact name="Call from">
          <bdi>{settings.fromPhoneNumberId.trim()}</bdi>
        </Fact>
        <Fact name="Calling hours">
          <Hours {...settings} />
        </Fact>
        <Fact name="Calls at once">
          at most {settings.concurrentCallLimit}
          {settings.callsPerSecond.trim() !== "" && `, ${settings.callsPerSecond} new ones a second`}
          {settings.rampMinutes.trim() !== "" && `, reached within ${settings.rampMinutes} minutes`}
        </Fact>
        <Fact name="Attempts">
          {attempts === 1
            ? "one for each person"
            : `up to ${attempts} for each person, after: ${wordsOf(settings.retryOn)}`}
        </Fact>
        {attempts > 1 && <Fact name="Between attempts">{waits(settings.retryMinutes)}</Fact>}
        {pause !== undefined && (
          <Fact name="Pauses by itself">
            when {pause.percent} % of the last {pause.window} calls end as {wordsOf(pause.outcomes)}
          </Fact>
        )}
        {settings.lateMinutes.trim() !== "" && (
          <Fact name="A scheduled start">
            is made at most {settings.lateMinutes} minutes late, or not at all
          </Fact>
        )}
        {settings.endAt !== "" && (
          <Fact name="Ends at the latest">
            {dayAndTime(new Date(settings.endAt), viewerZone)} <span class="quiet">your time</span>
          </Fact>
        )}
        {labels.length > 0 && (
          <Fact name="Labels">
            <bdi>{labels.map(({ key, value }) => `${key.trim()}: ${value.trim()}`).join(", ")}</bdi>
          </Fact>
        )}
      </dl>
    </section>
  );
}
