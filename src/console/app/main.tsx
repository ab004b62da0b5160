import { render } from "preact";
import "../ui/styles/base.css";
import "../ui/styles/controls.css";
import "../ui/styles/layout.css";
import { findSession } from "../data/service/client.ts";
import { startRouting } from "../data/page/route.ts";
import { Guarded } from "../ui/page/broken.tsx";
import { App } from "./app.tsx";

const place = document.getElementById("console");
startRouting();
void findSession();
if (place) {
  place.replaceChildren();
  render(
    <Guarded>
      <App />
    </Guarded>,
    place,
  );
}
