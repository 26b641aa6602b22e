// A control was moved: ask for the answers to the new settings, put them in place, and keep the settings in the address.
"use strict";

const form = document.getElementById("controls");
const answers = document.getElementById("answers");
let asked = null; // the request under way, dropped when another move comes first

async function redraw() {
  const settings = new FormData(form);
  if ([...settings.values()].includes("")) return; // a number is being typed
  const query = new URLSearchParams(settings).toString();
  if (asked) asked.abort();
  const mine = (asked = new AbortController());
  try {
    const response = await fetch(`/answers?${query}`, { signal: mine.signal });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    answers.innerHTML = await response.text();
    history.replaceState(null, "", `/?${query}`);
    say();
  } catch (error) {
    if (error.name !== "AbortError") complain(error);
  }
}

// For those who hear the page: what was not taken, or else the first numbers.
function say() {
  const complaints = document.getElementById("complaints").innerText.trim();
  const told = [...document.querySelectorAll(".first div")].map((one) => [...one.children].map((e) => e.textContent).join(": "));
  document.getElementById("said").textContent = complaints || told.join("; ");
}

function complain(error) {
  const told = document.createElement("p");
  told.textContent = `No answer (${error.message}). Is hitherto explore still running?`;
  document.getElementById("complaints").replaceChildren(told);
  say();
}

for (const slider of form.querySelectorAll("[data-of]")) {
  const number = document.getElementById(slider.dataset.of);
  slider.addEventListener("input", () => (number.value = slider.value));
  number.addEventListener("input", () => (slider.value = number.value));
}
form.addEventListener("input", redraw);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  redraw();
});
