const one = (selector, root = document) => root.querySelector(selector);

// Upload: the beginning of a bundle is judged before the rest is sent, and sending shows
// how far it is. Without this the same form sends the same file.
const BEGINNING_BYTES = 900000;
for (const form of document.querySelectorAll("form[data-upload]")) {
  const file = one("input[type=file]", form);
  const said = one("[aria-live]", form);
  const box = one("[data-progress]", form);
  const token = one("[name=csrf_token]", form).value;
  const show = (html) => { said.innerHTML = html; };
  const signInOnTop = () => { file.value = ""; form.submit(); }; // a file can not be kept
  file.addEventListener("change", async () => {
    show("");
    if (!file.files[0]) return;
    const body = new FormData();
    body.set("csrf_token", token);
    body.set("bundle", file.files[0].slice(0, BEGINNING_BYTES), file.files[0].name);
    const answer = await fetch(form.dataset.upload, { method: "POST", body }).catch(() => null);
    if (answer?.status === 401) signInOnTop();
    else if (answer) show(await answer.text());
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const request = new XMLHttpRequest();
    const text = one("[data-sent-text]", box);
    const MB = (bytes) => (bytes / 1e6).toLocaleString(document.documentElement.lang, { maximumFractionDigits: 1 });
    box.hidden = false;
    request.upload.onprogress = ({ loaded, total }) => {
      const share = total ? loaded / total : 0;
      one("progress", box).value = share;
      const done = share >= 1 ? text.dataset.checking : text.dataset.sentText;
      text.textContent = done.replace("{share}", `${Math.floor(share * 100)} %`)
        .replace("{bytes}", MB(loaded)).replace("{all}", MB(total));
    };
    request.onload = () => {
      if (request.status === 401) { signInOnTop(); return; }
      if (request.status < 400) { location.assign(request.responseURL); return; }
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      box.hidden = true;
      show(one("#said", page)?.innerHTML ?? one("main", page)?.innerHTML ?? "");
    };
    request.onerror = () => form.submit(); // what the browser says is better than nothing
    request.open("POST", form.action);
    request.send(new FormData(form));
  });
}
