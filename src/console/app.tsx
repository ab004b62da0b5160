import { useComputed } from "@preact/signals";
import { session, signOut } from "./api/session.ts";
import { AwayBanner } from "./components/away-banner.tsx";
import { Guarded } from "./components/broken.tsx";
import { Mark } from "./components/mark.tsx";
import { Empty } from "./components/notice.tsx";
import { Heading } from "./components/heading.tsx";
import { later } from "./later.tsx";
import { href, route } from "./route.ts";
import { JobsView } from "./views/jobs/jobs-view.tsx";
import { SignInView } from "./views/sign-in-view.tsx";

const JobView = later(() => import("./views/job/job-view.tsx").then((module) => module.JobView));
const ContactView = later(() => import("./views/job/contact-view.tsx").then((module) => module.ContactView));
const CreateView = later(() => import("./views/create/create-view.tsx").then((module) => module.CreateView));
const AddView = later(() => import("./views/create/add-view.tsx").then((module) => module.AddView));

export function App() {
  if (session.value === undefined) return <SignInView />;
  return (
    <>
      <a class="skip" href="#content" onClick={skipToContent}>
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href={href([])}>
          <Mark />
          Callsheet
        </a>
        <button type="button" class="plain" onClick={() => signOut("")}>
          Sign out
        </button>
      </header>
      <AwayBanner />
      <main id="content" tabIndex={-1}>
        <Guarded key={route.value.path.join("/")}>
          <CurrentView />
        </Guarded>
      </main>
    </>
  );
}

/** Not a change of address: what is after the `#` says which view is shown. */
function skipToContent(event: Event): void {
  event.preventDefault();
  document.getElementById("content")?.focus();
}

function CurrentView() {
  const path = useComputed(() => route.value.path).value;
  const [first = "jobs", id, third, number] = path;
  if (first !== "jobs" || path.length > 4) return <Nowhere />;
  if (id === undefined) return <JobsView />;
  if (id === "new") return <CreateView />;
  if (third === undefined) return <JobView key={id} id={id} />;
  if (third === "add" && number === undefined) return <AddView key={id} id={id} />;
  if (third === "contacts" && /^[1-9]\d{0,9}$/.test(number ?? "")) {
    return <ContactView key={`${id} ${number}`} id={id} number={Number(number)} />;
  }
  return <Nowhere />;
}

const Nowhere = () => (
  <>
    <Heading title="Nothing here" />
    <Empty title="There is no such page.">
      <a class="button" href={href([])}>
        All jobs
      </a>
    </Empty>
  </>
);
