// What AsyncAPI's own parser says of a document: its version and everything it finds.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
const found = diagnostics.map((each) => `${each.path.join("/")}: ${each.code}: ${each.message}`);
const events = document ? document.operations().all().length : 0;
console.log(JSON.stringify({ version: document?.version() ?? null, events, found }));
