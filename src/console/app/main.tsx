import { render } from "preact";
import "../ui/styles/base.css";
import "../ui/styles/controls.css";
import "../ui/styles/layout.css";
import "../ui/styles/data.css";
import "../ui/styles/create.css";
import "../ui/styles/job.css";
import { App } from "./app.tsx";

const place = document.getElementById("console");
if (place) render(<App />, place);
