import { render } from "preact";
import "../ui/styles/base.css";
import "../ui/styles/controls.css";
import "../ui/styles/layout.css";
import { findSession } from "../data/client.ts";
import { startRouting } from "../data/route.ts";
import { Guarded } from "../ui/broken.tsx";
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
