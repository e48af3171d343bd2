// A deed opens as a dialog whose form is fetched when it opens, so that its numbers are
// those of the moment. Without this, or when the fetch fails, the link leads to a page.
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-ask]");
  const dialog = document.getElementById("ask");
  if (!link || !dialog || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  try {
    const answer = await fetch(link.href, { headers: { "HX-Request": "true" } });
    if (!answer.ok || answer.redirected) throw new Error("no form");
    const html = await answer.text();
    if (html.includes("<!doctype")) throw new Error("a page");
    dialog.innerHTML = html;
    dialog.setAttribute("aria-labelledby", `ask-${link.dataset.ask}-t`);
    dialog.setAttribute("aria-describedby", `ask-${link.dataset.ask}-d`);
    dialog.showModal();
  } catch {
    location.assign(link.href);
  }
});

// What was typed into a question outlives it: when somebody else has decided, it is shown.
const kept = document.getElementById("kept-reason");
if (kept) {
  const page = document.getElementById("live");
  let typed = "";
  page.addEventListener("input", (event) => {
    if (event.target.id === "decide-reason") typed = event.target.value.trim();
  });
  new MutationObserver(() => {
    if (!typed) return;
    kept.hidden = Boolean(document.getElementById("decide-reason"));
    kept.querySelector("[data-kept]").textContent = typed;
  }).observe(page, { childList: true, subtree: true });
}

// A slider says its number beside its name while it is moved.
document.addEventListener("input", (event) => {
  if (event.target.type !== "range") return;
  const said = document.querySelector(`output[for="${event.target.id}"]`);
  if (said) said.textContent = event.target.value;
});

// The preview of a plan: dimmed while a newer one is made, and said when none could be.
const plan = document.getElementById("plan");
if (plan) {
  const failed = document.getElementById("preview-failed");
  const busy = (is) => document.getElementById("p-preview")?.setAttribute("aria-busy", String(is));
  let dims = 0;
  plan.addEventListener("htmx:before:request", () => { clearTimeout(dims); dims = setTimeout(busy, 300, true); });
  plan.addEventListener("htmx:finally:request", () => { clearTimeout(dims); busy(false); });
  plan.addEventListener("htmx:after:swap", () => { failed.hidden = true; });
  for (const trouble of ["htmx:error", "htmx:response:error"]) {
    plan.addEventListener(trouble, () => { failed.hidden = false; });
  }
}
