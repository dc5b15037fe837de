"""The pages people see: sign in, consent, sign out, and what went wrong. They need no script."""

from __future__ import annotations

from html import escape
from urllib.parse import urlsplit

from apis.gateway.guard import Header

STYLE_PATH = "/oauth/style.css"
HTML: Header = (b"content-type", b"text/html; charset=utf-8")
CSS: Header = (b"content-type", b"text/css; charset=utf-8")
VERBS = {"read": "See", "write": "Change", "start": "Start", "decide": "Decide on"}
PALETTE = b"""\
:root { color-scheme: light dark; --ink: #1a2233; --soft: #55607a; --line: #ccd3e0;
  --paper: #fff; --ground: #eef1f6; --mark: #1d4ed8; --bad: #b3261e; --bad-ground: #fdecea }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf5; --soft: #a5b0c8; --line: #3a455c;
  --paper: #182033; --ground: #0e1420; --mark: #7ea2ff; --bad: #ff9d94; --bad-ground: #3a1d1d } }
"""
"""The colours of these pages and of the portal."""
STYLE = (
    PALETTE
    + b"""\
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif }
main { width: 100%; max-width: 26rem; padding: 2rem; background: var(--paper);
  border: 1px solid var(--line); border-radius: .75rem; box-shadow: 0 8px 30px #0b122014 }
.brand { margin: 0 0 1.5rem; color: var(--soft); font-size: .875rem; font-weight: 600;
  letter-spacing: .02em }
.brand::before { content: ""; display: inline-block; width: 1.5rem; height: .5rem;
  margin-right: .5rem; border-radius: .25rem;
  background: linear-gradient(90deg, var(--mark) 60%, var(--line) 0) }
h1 { margin: 0 0 .5rem; font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere }
p { margin: 0 0 1rem; overflow-wrap: anywhere }
main > :last-child { margin-bottom: 0 }
.soft { color: var(--soft) }
.soft strong { color: var(--ink) }
label { display: block; margin: 1rem 0 .25rem; font-weight: 600 }
input { width: 100%; padding: .625rem .75rem; font: inherit; color: inherit;
  background: var(--paper); border: 1px solid var(--soft); border-radius: .5rem }
input[aria-invalid] { border-color: var(--bad) }
button { width: 100%; margin-top: 1.25rem; padding: .7rem 1rem; font: inherit; font-weight: 600;
  color: #fff; background: #1d4ed8; border: 1px solid #1d4ed8; border-radius: .5rem;
  cursor: pointer }
button:hover { background: #1a43b8 }
button.plain { margin-top: .75rem; color: var(--ink); background: none;
  border-color: var(--line) }
button.link { width: auto; margin: 0; padding: 0; color: var(--mark); background: none;
  border: 0; font-weight: 400; text-decoration: underline }
:focus-visible { outline: 3px solid var(--mark); outline-offset: 2px }
.error { margin: 1rem 0; padding: .75rem 1rem; color: var(--bad); background: var(--bad-ground);
  border-left: 4px solid var(--bad); border-radius: .25rem }
ul { margin: 0 0 1rem; padding: 0; list-style: none; border-top: 1px solid var(--line) }
li { padding: .625rem 0; border-bottom: 1px solid var(--line) }
.who { margin: 1.5rem 0 0; padding-top: 1rem; border-top: 1px solid var(--line);
  color: var(--soft); font-size: .875rem }
@media (max-width: 30rem) { body { padding: 0; background: var(--paper); place-items: start }
  main { padding: 1.5rem; border: 0; border-radius: 0; box-shadow: none } }
"""
)


def page_headers(redirect: str = "", *, secure: bool) -> list[Header]:
    """What keeps a page ours: no script, no frame, forms to us and then back to the client."""
    back = ""
    if redirect:
        at = urlsplit(redirect)
        back = f" {at.scheme}://{at.netloc}"
    policy = (
        f"default-src 'none'; style-src 'self'; form-action 'self'{back}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    headers: list[Header] = [
        (b"content-security-policy", policy.encode()),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
    ]
    if secure:
        headers.append((b"strict-transport-security", b"max-age=31536000"))
    return headers


def page(title: str, body: str) -> bytes:
    """A whole page."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)} - Throughline</title>\n<link rel="stylesheet" '
        f'href="{STYLE_PATH}">\n</head>\n<body>\n<main>\n<p class="brand">Throughline</p>\n'
        f"{body}\n</main>\n</body>\n</html>\n"
    ).encode("utf-8", "replace")


def sign_in_page(client: str, token: str, name: str = "", error: str = "") -> bytes:
    """Ask who it is; an error is read out first, and stands where it belongs."""
    title = "Sign in"
    wrong = ' aria-invalid="true" aria-describedby="error"' if error else ""
    told = f'<p class="error" id="error" role="alert">{escape(error)}</p>\n' if error else ""
    first, second = (" autofocus", "") if not name else ("", " autofocus")
    body = (
        f"<h1>{title}</h1>\n"
        f'<p class="soft">Continue to <strong>{escape(client)}</strong></p>\n{told}'
        f'<form method="post">\n{_hidden(token)}'
        '<label for="name">Name</label>\n<input id="name" name="name" autocomplete="username" '
        f'autocapitalize="none" spellcheck="false" maxlength="200" required{wrong}{first} '
        f'value="{escape(name)}">\n'
        '<label for="password">Password</label>\n<input id="password" name="password" '
        'type="password" autocomplete="current-password" maxlength="1000" '
        f"required{wrong}{second}>\n"
        '<button name="action" value="sign-in">Sign in</button>\n</form>'
    )
    return page(f"Error: {title}" if error else title, body)


def consent_page(client: str, redirect: str, scopes: list[str], person: str, token: str) -> bytes:
    """Ask whether the client may act for this person."""
    wanted = "".join(f"<li>{escape(scope_words(scope))}</li>\n" for scope in scopes)
    host = urlsplit(redirect).netloc
    body = (
        f"<h1>Allow {escape(client)} to act for you?</h1>\n"
        f'<p class="soft">For at most 12 hours it could:</p>\n<ul>\n{wanted}</ul>\n'
        f'<p class="soft">You will be sent to <strong>{escape(host)}</strong>.</p>\n'
        f'<form method="post">\n{_hidden(token)}'
        '<button name="action" value="allow">Allow</button>\n'
        '<button class="plain" name="action" value="deny">Do not allow</button>\n'
        f'<p class="who">Signed in as {escape(person)}. '
        '<button class="link" name="action" value="sign-out">Not you?</button></p>\n</form>'
    )
    return page(f"Allow {client}?", body)


def guest_page(client: str, person: str, token: str) -> bytes:
    """Say that who registered themselves may use the portal, and nothing acts for them."""
    body = (
        f"<h1>{escape(client)} cannot act for you</h1>\n"
        f'<p class="error" role="alert">{escape(person)} is an account of the developer portal. '
        "It opens the portal only.</p>\n"
        f'<form method="post">\n{_hidden(token)}'
        '<button name="action" value="sign-out">Sign in as somebody else</button>\n</form>'
    )
    return page("Not this account", body)


def sign_out_page(person: str | None, token: str) -> bytes:
    """Say who is signed in, and let them go."""
    if person is None:
        return page("Signed out", "<h1>You are signed out</h1>\n<p>You can close this page.</p>")
    body = (
        f"<h1>Sign out?</h1>\n<p>You are signed in as {escape(person)}.</p>\n"
        f'<form method="post">\n{_hidden(token)}'
        '<button name="action" value="sign-out">Sign out</button>\n</form>'
    )
    return page("Sign out", body)


def error_page(detail: str) -> bytes:
    """Say what is wrong with how a person came here; nothing leads on from it."""
    body = (
        "<h1>This did not work</h1>\n"
        f'<p class="error" role="alert">{escape(detail)}</p>\n'
        "<p>Go back to the application and try again. If it stays, tell the people who run "
        "that application what is said above.</p>"
    )
    return page("Error", body)


def scope_words(scope: str) -> str:
    """`work-items.decide` as a person says it."""
    subject, _, action = scope.partition(".")
    words = subject.replace("-", " ")
    return f"{VERBS[action]} {words}" if action in VERBS else f"{scope}"


def _hidden(token: str) -> str:
    return f'<input type="hidden" name="token" value="{escape(token)}">\n'
