/** Where the pages begin: settings, then who is signed in, then the page of the address. */

import { render } from "preact";

import { followLinks } from "./app/router";
import { applyTheme, loadTheme } from "./app/theme";
import { App } from "./App";

applyTheme(loadTheme());
document.addEventListener("click", followLinks);
const root = document.getElementById("app");
if (root) render(<App />, root);
