// openid-client, not written here, through every grant of the authorization server at `issuer`.
// It reads what it needs from standard input and prints what it saw, as JSON.
import * as client from "openid-client";

const given = JSON.parse(await new Response(process.stdin).text());
const options = { algorithm: "oauth2", execute: [client.allowInsecureRequests] };
const issuer = new URL(given.issuer);
const found = (id, proof) => client.discovery(issuer, id, undefined, proof, options);
const seen = {};

// a person's browser: it keeps one cookie and sends the forms it is shown
let cookie = "";
async function visit(url, form) {
  const headers = { cookie, ...(form && { origin: issuer.origin }) };
  const body = form && new URLSearchParams(form);
  const page = await fetch(url, { method: form ? "POST" : "GET", headers, body, redirect: "manual" });
  const set = page.headers.get("set-cookie");
  if (set) cookie = set.split(";")[0];
  return page;
}
const tokenOf = async (page) => (await page.text()).match(/name="token" value="([0-9a-f]+)"/)[1];
async function consented(url) {
  let page = await visit(url);
  const { name, password } = given.person;
  await visit(url, { token: await tokenOf(page), action: "sign-in", name, password });
  page = await visit(url);
  page = await visit(url, { token: await tokenOf(page), action: "allow" });
  return new URL(page.headers.get("location"));
}

// for itself, by each proof
for (const [how, proof] of [["basic", client.ClientSecretBasic], ["post", client.ClientSecretPost]]) {
  const machine = await found("machine", proof(given.secrets.machine));
  const token = await client.clientCredentialsGrant(machine, { scope: "catalog.read" });
  const answer = await client.fetchProtectedResource(
    machine, token.access_token, new URL("/catalog", issuer), "GET");
  seen[how] = { scope: token.scope, status: answer.status };
}
const imported = await crypto.subtle.importKey(
  "jwk", given.key, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
const robot = await found("robot", client.PrivateKeyJwt({ key: imported, kid: given.key.kid }));
seen.private_key_jwt = (await client.clientCredentialsGrant(robot)).scope;

// for a person
const portal = await found("portal", client.ClientSecretBasic(given.secrets.portal));
const metadata = portal.serverMetadata();
seen.pkce = metadata.supportsPKCE();
seen.iss = metadata.authorization_response_iss_parameter_supported;
const verifier = client.randomPKCECodeVerifier();
const state = client.randomState();
const asked = client.buildAuthorizationUrl(portal, {
  redirect_uri: given.redirect, scope: "catalog.read", state, code_challenge_method: "S256",
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
});
const back = await consented(asked);
const checks = { pkceCodeVerifier: verifier, expectedState: state };
const first = await client.authorizationCodeGrant(portal, back, checks);
const second = await client.refreshTokenGrant(portal, first.refresh_token);
seen.rotated = first.refresh_token !== second.refresh_token;
const told = await client.tokenIntrospection(portal, second.access_token);
seen.introspected = { active: told.active, sub: told.sub, client: told.client_id };
await client.tokenRevocation(portal, second.refresh_token);
seen.revoked = (await client.tokenIntrospection(portal, second.access_token)).active;

// what must fail
const refused = async (work) => {
  try { await work(); return "accepted"; } catch (error) { return error.error ?? error.code; }
};
seen.code_again = await refused(() => client.authorizationCodeGrant(portal, back, checks));
seen.refresh_again = await refused(() => client.refreshTokenGrant(portal, first.refresh_token));
const wrong = await found("machine", client.ClientSecretBasic("wrong"));
seen.wrong_secret = await refused(() => client.clientCredentialsGrant(wrong));
const other = await consented(asked);
const guess = { ...checks, pkceCodeVerifier: client.randomPKCECodeVerifier() };
seen.wrong_verifier = await refused(() => client.authorizationCodeGrant(portal, other, guess));
other.searchParams.set("iss", "https://evil.example");
seen.mixed_up = await refused(() => client.authorizationCodeGrant(portal, other, checks));
console.log(JSON.stringify(seen));
