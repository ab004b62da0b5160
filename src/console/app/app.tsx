import { useComputed } from "@preact/signals";
import { session, signOut } from "../data/session.ts";
import { AwayBanner } from "./away-banner.tsx";
import { Guarded } from "../ui/broken.tsx";
import { Mark } from "../ui/mark.tsx";
import { Empty } from "../ui/notice.tsx";
import { Heading } from "../ui/heading.tsx";
import { later } from "./later.tsx";
import { href, route } from "../data/route.ts";
import { JobsView } from "../features/jobs/jobs-view.tsx";
import { SignInView } from "../features/sign-in/sign-in-view.tsx";

const JobView = later(() => import("../features/job/job-view.tsx").then((module) => module.JobView));
const ContactView = later(() => import("../features/job/contact-view.tsx").then((module) => module.ContactView));
const CreateView = later(() => import("../features/create/create-view.tsx").then((module) => module.CreateView));
const AddView = later(() => import("../features/create/add-view.tsx").then((module) => module.AddView));

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
