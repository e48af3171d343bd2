// Passkeys: the browser is asked to make or to prove one, and its answer goes with the form.
const one = (selector, root = document) => root.querySelector(selector);
const send = async (form, how, options) => {
  const said = one("[data-passkey-said]", form);
  said.hidden = true;
  try {
    const body = new FormData();
    body.set("csrf_token", one("[name=csrf_token]", form).value);
    const answer = await fetch(form.dataset.passkeyAsk, { method: "POST", body });
    if (!answer.ok) throw new Error(String(answer.status));
    const found = await how(options(await answer.json()));
    one("[name=passkey]", form).value = JSON.stringify(found.toJSON());
    HTMLFormElement.prototype.submit.call(form);
  } catch {
    said.hidden = false;
  }
};
for (const form of document.querySelectorAll("form[data-passkey-ask]")) {
  one("[data-passkey-get]", form)?.addEventListener("click", () => send(form,
    (publicKey) => navigator.credentials.get({ publicKey }),
    (json) => PublicKeyCredential.parseRequestOptionsFromJSON(json)));
  one("[data-passkey-new]", form)?.addEventListener("click", () => send(form,
    (publicKey) => navigator.credentials.create({ publicKey }),
    (json) => PublicKeyCredential.parseCreationOptionsFromJSON(json)));
}
