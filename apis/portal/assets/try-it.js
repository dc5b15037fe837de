// The console of a version's page. A token lives in the page's own field and nowhere else.
const console_ = document.getElementById("console");
const token = document.getElementById("token");

function made(tag, text, name) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function lines(text, label) {
  const frame = made("pre");
  frame.append(made("code", text));
  frame.tabIndex = 0;
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", label);
  return frame;
}

// What a form asks for: the address with its parameters, the headers, the body.
function asked(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  const headers = { Accept: "application/json" };
  for (const field of form.querySelectorAll("[data-place]")) {
    const { place, name } = field.dataset;
    if (place === "path") path = path.replace(`{${name}}`, encodeURIComponent(field.value));
    else if (field.value !== "" && place === "query") query.append(name, field.value);
    else if (field.value !== "" && place === "header") headers[name] = field.value;
  }
  const body = form.querySelector("[data-body]");
  if (body) headers["Content-Type"] = body.dataset.body;
  if (token.value.trim()) headers.Authorization = `Bearer ${token.value.trim()}`;
  const search = query.toString();
  return [path + (search ? `?${search}` : ""), { method: form.dataset.method, headers, body: body?.value,
    credentials: "omit", redirect: "error" }];
}

function shown(place, answer, text, ms) {
  const kind = answer.ok ? "good" : "bad";
  const head = made("p");
  head.append(made("span", `${answer.status} ${answer.statusText}`.trim(), `badge ${kind}`), ` in ${ms} ms`);
  const id = answer.headers.get("x-request-id");
  if (id) {
    const link = made("a", id);
    link.href = `/portal/requests/${encodeURIComponent(id)}`;
    head.append(", request ", link);
  }
  const told = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  const folded = made("details");
  const inside = made("div", undefined, "inside");
  inside.append(lines(told, "Headers of the answer"));
  folded.append(made("summary", "Headers"), inside);
  place.replaceChildren(head, folded, lines(text ? pretty(text) : "(no body)", "Body of the answer"));
  const type = answer.ok ? null : problemOf(text);
  if (type) {
    const link = made("a", "What this problem means");
    link.href = type;
    head.after(link);
  }
}

function problemOf(text) {
  try {
    const { code } = JSON.parse(text);
    return typeof code === "string" ? `/problems/${encodeURIComponent(code)}` : null;
  } catch {
    return null;
  }
}

async function send(event) {
  event.preventDefault();
  const form = event.target;
  const place = form.parentElement.querySelector(".answer");
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const began = performance.now();
    const answer = await fetch(...asked(form));
    const text = await answer.text();
    shown(place, answer, text, Math.round(performance.now() - began));
  } catch (error) {
    place.replaceChildren(made("p", `The call did not go out: ${error.message}`, "notice bad"));
  } finally {
    button.disabled = false;
  }
}

async function fetchToken(event) {
  event.preventDefault();
  const told = document.getElementById("token-told");
  const value = (name) => document.getElementById(`client-${name}`).value;
  const fields = new URLSearchParams({
    grant_type: "client_credentials", client_id: value("id"), client_secret: value("secret"),
  });
  if (value("scope").trim()) fields.set("scope", value("scope").trim());
  try {
    const answer = await fetch("/oauth/token", { method: "POST", body: fields, credentials: "omit" });
    const body = await answer.json();
    if (answer.ok) {
      token.value = body.access_token;
      document.getElementById("client-secret").value = "";
      told.textContent = `A token for ${body.scope ?? "all scopes"}, good for ${body.expires_in} seconds.`;
    } else {
      told.textContent = `No token: ${body.error_description ?? body.title ?? body.error}`;
    }
  } catch (error) {
    told.textContent = `No token: ${error.message}`;
  }
}

if (console_) {
  console_.hidden = false;
  const client = new URLSearchParams(location.search).get("client_id");
  if (client) document.getElementById("client-id").value = client;
  document.getElementById("token-form").addEventListener("submit", fetchToken);
  for (const each of document.querySelectorAll("details.try")) each.hidden = false;
  for (const form of document.querySelectorAll("form.trial")) form.addEventListener("submit", send);
}
