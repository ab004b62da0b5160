import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { BatchJob } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { flash } from "../../data/page/flash.ts";
import { href } from "../../data/page/route.ts";
import { mayChange } from "../../data/service/session.ts";
import { hasEnded, useJob } from "../../data/load/use-job.ts";
import { JobBadge } from "../../ui/figure/badge.tsx";
import { Guarded } from "../../ui/page/broken.tsx";
import { Crumbs } from "../../ui/page/crumbs.tsx";
import { failureReasonWords } from "../../ui/format/words.ts";
import { Heading } from "../../ui/page/heading.tsx";
import { later } from "../../ui/page/later.tsx";
import { Empty, Loading, Notice } from "../../ui/page/notice.tsx";
import tabLook from "../../ui/page/tabs.module.css";
import { Commands } from "./commands/commands.tsx";
import { record } from "./overview/history.ts";
import css from "./job.module.css";
import { type Tab, tabs } from "./tabs.ts";

const Overview = later(() => import("./overview/overview.tsx").then((module) => module.Overview));
const ContactsCard = later(() =>
  import("./contacts/contacts-card.tsx").then((module) => module.ContactsCard),
);
const ActivityTab = later(() => import("./tabs/activity-tab.tsx").then((module) => module.ActivityTab));
const SettingsTab = later(() => import("./tabs/settings-tab.tsx").then((module) => module.SettingsTab));

const onJob = (job: BatchJob): void => record(job, Date.now());

export function JobView({ id, tab }: { id: string; tab: Tab }) {
  const { job, refusal, isGone } = useJob(id, onJob);
  return (
    <>
      <Crumbs here={job ? <bdi>{job.name}</bdi> : "Job"} />
      {isGone && <Gone message={job ? "This job was deleted." : (refusal?.message ?? "")} />}
      {!isGone && refusal !== undefined && job === undefined && <Gone message={refusal.message} />}
      {!isGone && refusal === undefined && job === undefined && <Loading what="the job" />}
      {!isGone && job !== undefined && <Whole job={job} tab={tab} />}
    </>
  );
}

const Gone = ({ message }: { message: string }) => (
  <>
    <Heading title="No such job" />
    <Empty title={message}>
      <a class="button" href={href(["jobs"])}>
        All jobs
      </a>
    </Empty>
  </>
);

function Whole({ job, tab }: { job: BatchJob; tab: Tab }) {
  // What was said of its start is old news once it has ended.
  const isEnded = hasEnded(job);
  const wasEnded = useRef(isEnded);
  useEffect(() => {
    if (isEnded && !wasEnded.current) flash.value = undefined;
  }, [isEnded]);
  return (
    <>
      <div class="title-bar">
        <div class={css.jobTitle}>
          <Heading title={job.name}>
            <span dir="auto">{job.name}</span>
          </Heading>
          <JobBadge status={job.status} />
        </div>
        <Commands job={job} />
      </div>
      {flash.value !== undefined && <Notice tone={flash.value.tone}>{flash.value.sentence}</Notice>}
      {job.failureReason !== "" && (
        <Notice tone="bad">
          This job failed: {failureReasonWords[job.failureReason] ?? job.failureReason}
        </Notice>
      )}
      <div class="title-bar">
        <Tabs id={job.batchJobId} current={tab} />
        {mayChange() && (
          <a class="button" href={href(["jobs", "new"], { like: job.batchJobId })}>
            New job like this
          </a>
        )}
      </div>
      <Guarded key={tab}>
        <TabOf job={job} tab={tab} />
      </Guarded>
    </>
  );
}

function TabOf({ job, tab }: { job: BatchJob; tab: Tab }): ComponentChildren {
  if (tab === "contacts") return <ContactsCard job={job} />;
  if (tab === "settings") return <SettingsTab job={job} />;
  if (tab === "activity") return <ActivityTab job={job} />;
  return <Overview job={job} />;
}

const Tabs = ({ id, current }: { id: string; current: Tab }) => (
  <nav aria-label="Parts of the job">
    <ul class={tabLook.tabs}>
      {Object.entries(tabs).map(([tab, word]) => (
        <li key={tab}>
          <a
            href={href(tab === "overview" ? ["jobs", id] : ["jobs", id, tab])}
            aria-current={tab === current ? "page" : undefined}
          >
            {word}
          </a>
        </li>
      ))}
    </ul>
  </nav>
);
