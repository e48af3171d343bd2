// Keys, look, dialogs and the notice that live updates have stopped. Everything here is
// an addition: each page reads and each form works without it.
const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const stored = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
const store = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private mode */ } };
const keysOn = () => stored("oleada-keys") !== "off";

// Look: switched at once, sent to the server so that the next page comes in it.
for (const form of all("[data-theme-form]")) {
  form.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button || button.name !== "theme") return;
    event.preventDefault();
    const body = new FormData(form, button);
    fetch(form.action, { method: "POST", body, redirect: "manual" });
    if (button.value === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = button.value;
    for (const other of all("button", form)) other.setAttribute("aria-pressed", String(other === button));
  });
}

for (const part of all("[data-needs-script]")) part.hidden = false;
const keysSwitch = one("#keys-on");
if (keysSwitch) {
  keysSwitch.checked = keysOn();
  keysSwitch.addEventListener("change", () => store("oleada-keys", keysSwitch.checked ? "on" : "off"));
}

// Filters: a choice is sent at once; empty fields stay out of the address.
for (const form of all("[data-autosend]")) {
  form.addEventListener("change", (event) => { if (event.target.matches("select")) form.requestSubmit(); });
  form.addEventListener("submit", () => {
    for (const field of all("input, select", form)) if (!field.value) field.disabled = true;
  });
}
addEventListener("pageshow", () => {
  for (const field of all("[data-autosend] :disabled")) field.disabled = false;
});

// Dialogs: a link to a page of its own opens the same form here instead.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-dialog]");
  const dialog = link && document.getElementById(link.dataset.dialog);
  if (dialog && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    dialog.showModal();
  }
  const close = event.target.closest("[data-close]");
  if (close) { event.preventDefault(); close.closest("dialog").close(); }
});

// Copying: a button with the text to copy.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) navigator.clipboard?.writeText(button.dataset.copy).then(() => button.classList.add("done"));
});

// Checks that are due begin when the page is opened; what comes of them arrives by the stream.
const checks = one("form[data-checks=due]");
if (checks && !document.prerendering) {
  fetch(checks.action, { method: "POST", body: new FormData(checks), redirect: "manual" });
}

// Keys: by event.key, never with Alt, AltGr, Ctrl or Meta, never inside fields.
let waitsForGo = 0;
const rows = () => all("table.list tbody tr");
function step(by) {
  const list = rows();
  const at = list.indexOf(document.activeElement?.closest("tr"));
  list[Math.min(Math.max(at + by, 0), list.length - 1)]?.focus();
}
const GO = { f: "fleet", r: "rollouts", d: "devices", h: "health", l: "releases", a: "audit" };
function range(by) {
  const list = all("[data-ranges] a");
  list[list.findIndex((link) => link.hasAttribute("aria-current")) + by]?.click();
}
const KEYS = {
  "/": () => { const field = one("#q"); field?.focus(); field?.select(); },
  "?": () => one(".helpl a")?.click(),
  j: () => step(1),
  k: () => step(-1),
  "[": () => range(-1),
  "]": () => range(1),
  ".": () => one("#do button, #do a")?.focus(),
  Enter: () => one("a.tlink", document.activeElement?.closest("tr") ?? undefined)?.click(),
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { document.activeElement?.blur?.(); return; }
  if (event.altKey || event.ctrlKey || event.metaKey || !keysOn() || one("dialog[open]")) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  if (event.key === "Enter" && !event.target.matches("tr")) return;
  if (waitsForGo && GO[event.key]) {
    const link = one(`.rail a[href$="/${GO[event.key]}"]`);
    if (link) { event.preventDefault(); link.click(); }
    waitsForGo = 0;
    return;
  }
  waitsForGo = event.key === "g" ? 1 : 0;
  if (KEYS[event.key]) { event.preventDefault(); KEYS[event.key](); }
});

// Live: every message and heartbeat is a sign of life; silence is said, with its age.
const STALE_MS = 12000;
const live = one("#live");
if (live) {
  const notice = one("#stale");
  const dot = one(".livedot");
  let heard = performance.now();
  let figures = live.dataset.figures;
  const alive = () => { heard = performance.now(); show(); };
  const show = () => {
    const age = performance.now() - heard;
    const stale = age > STALE_MS && !live.dataset.over;
    notice.hidden = !stale;
    dot?.classList.toggle("stale", stale);
    if (stale) {
      one("[data-age]", notice).textContent = Math.round(age / 1000);
      one("[data-figures]", notice).textContent = figures;
    }
  };
  live.addEventListener("beat", (event) => { figures = event.detail?.data || figures; alive(); });
  live.addEventListener("htmx:sse:after:message", alive);
  live.addEventListener("ended", () => location.reload());
  live.addEventListener("htmx:sse:error", (event) => {
    const status = event.detail?.status;
    if (status === 401 || status === 403) location.reload();
  });
  one("button", notice)?.addEventListener("click", () => location.reload());
  setInterval(show, 1000);
}
