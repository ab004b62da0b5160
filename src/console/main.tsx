import { render } from "preact";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/layout.css";
import "./styles/data.css";
import "./styles/create.css";
import "./styles/job.css";
import { App } from "./app.tsx";

const place = document.getElementById("console");
if (place) render(<App />, place);
