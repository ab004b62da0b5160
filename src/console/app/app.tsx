import { useComputed } from "@preact/signals";
import { noteRefusal } from "../data/service/client.ts";
import { href, route } from "../data/page/route.ts";
import { isAdmin, session, signOut } from "../data/service/session.ts";
import { uploads } from "../data/upload/upload-list.ts";
import { isTab } from "../features/job/tabs.ts";
import { JobsView } from "../features/jobs/jobs-view.tsx";
import { Guarded } from "../ui/page/broken.tsx";
import { roleWords } from "../ui/format/words.ts";
import { Heading } from "../ui/page/heading.tsx";
import { later } from "../ui/page/later.tsx";
import { Mark, brand } from "../ui/figure/mark.tsx";
import { Empty, Loading } from "../ui/page/notice.tsx";
import tabLook from "../ui/page/tabs.module.css";
import css from "./app.module.css";
import { AwayBanner } from "./away-banner.tsx";

const UploadTray = later(() => import("./upload-tray.tsx").then((module) => module.UploadTray));
const SignInView = later(() =>
  import("../features/sign-in/sign-in-view.tsx").then((module) => module.SignInView),
);
const JobView = later(() => import("../features/job/job-view.tsx").then((module) => module.JobView));
const ContactView = later(() =>
  import("../features/job/contacts/contact-view.tsx").then((module) => module.ContactView),
);
const CreateView = later(() =>
  import("../features/create/create-view.tsx").then((module) => module.CreateView),
);
const StartView = later(() =>
  import("../features/create/review/start-view.tsx").then((module) => module.StartView),
);
const AddView = later(() => import("../features/create/add-view.tsx").then((module) => module.AddView));

const FindView = later(() => import("../features/jobs/find-view.tsx").then((module) => module.FindView));
const KeysView = later(() => import("../features/keys/keys-view.tsx").then((module) => module.KeysView));
const NeverCallView = later(() =>
  import("../features/never-call/never-call-view.tsx").then((module) => module.NeverCallView),
);
const OrganizationView = later(() =>
  import("../features/organization/organization-view.tsx").then((module) => module.OrganizationView),
);
const WebhooksView = later(() =>
  import("../features/webhooks/webhooks-view.tsx").then((module) => module.WebhooksView),
);
const EndpointView = later(() =>
  import("../features/webhooks/endpoint-view.tsx").then((module) => module.EndpointView),
);

export function App() {
  const who = session.value;
  if (who === undefined) return <SignInView />;
  if (who === "unknown") {
    return (
      <>
        <AwayBanner />
        <main>
          <Loading what="the console" />
        </main>
      </>
    );
  }
  return (
    <>
      <a class={css.skip} href="#content" onClick={skipToContent}>
        Skip to the content
      </a>
      <header class={css.top}>
        <a class={brand} href={href([])}>
          <Mark />
          Callsheet
        </a>
        <Places />
        <p class={css.who}>
          <bdi>{who.organizationName}</bdi>
          <span class="quiet">
            <bdi>{who.name}</bdi> {roleWords.get(who.role) ?? ""}
          </span>
        </p>
        <button type="button" class="plain" onClick={() => void signOut().catch(noteRefusal)}>
          Sign out
        </button>
      </header>
      <AwayBanner />
      {uploads.value.length > 0 && <UploadTray />}
      <main id="content" tabIndex={-1}>
        <Guarded key={route.value.path.slice(0, 2).join("/")}>
          <CurrentView />
        </Guarded>
      </main>
    </>
  );
}

/** Not a change of address: the view stays. */
function skipToContent(event: Event): void {
  event.preventDefault();
  document.getElementById("content")?.focus();
}

const places = [
  ["jobs", "Jobs"],
  ["never-call", "Never call"],
  ["keys", "People and keys"],
  ["webhooks", "Webhooks"],
  ["organization", "Organization"],
] as const;

/** What only an admin may ask for. */
const adminOnly: ReadonlySet<string> = new Set(["keys", "webhooks", "organization"]);

function Places() {
  const [current = "jobs"] = route.value.path;
  return (
    <nav aria-label="Parts of the console">
      <ul class={tabLook.tabs}>
        {places
          .filter(([path]) => isAdmin() || !adminOnly.has(path))
          .map(([path, word]) => (
            <li key={path}>
              <a href={href([path])} aria-current={path === current ? "true" : undefined}>
                {word}
              </a>
            </li>
          ))}
      </ul>
    </nav>
  );
}

function CurrentView() {
  const path = useComputed(() => route.value.path).value;
  const [first = "jobs", id, third = "overview", number] = path;
  if (path.length === 1 && first === "never-call") return <NeverCallView />;
  if (path.length === 1 && first === "keys" && isAdmin()) return <KeysView />;
  if (path.length === 1 && first === "organization" && isAdmin()) return <OrganizationView />;
  if (first === "webhooks" && path.length <= 2 && isAdmin())
    return id === undefined ? <WebhooksView /> : <EndpointView key={id} id={id} />;
  if (first !== "jobs" || path.length > 4) return <Nowhere />;
  if (id === undefined) return <JobsView />;
  if (id === "new" && path.length === 2) return <CreateView />;
  if (id === "find" && path.length === 2) return <FindView />;
  if (number === undefined) {
    if (third === "add") return <AddView key={id} id={id} />;
    if (third === "start") return <StartView key={id} id={id} />;
    if (path.length === 2) return <JobView key={id} id={id} tab="overview" />;
    return isTab(third) ? <JobView key={id} id={id} tab={third} /> : <Nowhere />;
  }
  if (third === "contacts" && /^[1-9]\d{0,9}$/.test(number)) {
    return <ContactView key={`${id} ${number}`} id={id} number={Number(number)} />;
  }
  return <Nowhere />;
}

const Nowhere = () => (
  <>
    <Heading title="Nothing here" />
    <Empty title="There is no such page.">
      <a class="button" href={href(["jobs"])}>
        All jobs
      </a>
    </Empty>
  </>
);
