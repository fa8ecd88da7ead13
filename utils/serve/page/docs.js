"use strict";

/* What openapi.json says, as a page: nothing comes from elsewhere. */
const make = (name, text = "") => Object.assign(document.createElement(name), { textContent: text });

function table(heads, rows) {
  const found = make("table");
  const head = found.createTHead().insertRow();
  heads.forEach((text) => head.append(make("th", text)));
  const body = found.createTBody();
  rows.forEach((cells) => {
    const row = body.insertRow();
    cells.forEach((text) => row.insertCell().append(text));
  });
  return found;
}

const kind = (schema) =>
  schema.enum?.join(", ") ?? schema.type ?? schema.anyOf?.map(kind).filter((k) => k !== "null").join(" or ") ?? "";

function section(path, method, about) {
  const part = make("section");
  part.append(make("h2", ""));
  part.firstChild.append(make("code", `${method.toUpperCase()} ${path}`));
  part.append(make("p", about.description ?? ""));
  if (about.parameters) {
    part.append(table(["query", "what", "type"], about.parameters.map((each) => [
      make("code", each.name), each.description ?? each.schema.description ?? "", kind(each.schema),
    ])));
  }
  for (const [type, body] of Object.entries(about.requestBody?.content ?? {})) {
    const fields = Object.entries(body.schema.properties ?? {});
    part.append(table([`body, ${type}`, "what"], fields.map(([name, schema]) => [
      make("code", name), schema.description ?? kind(schema),
    ])));
  }
  part.append(table(["answer", "what"], Object.entries(about.responses).map(([status, answer]) => [
    make("code", status), answer.description,
  ])));
  return part;
}

fetch("openapi.json").then((answer) => answer.json()).then((all) => {
  for (const [path, methods] of Object.entries(all.paths)) {
    for (const [method, about] of Object.entries(methods)) {
      document.getElementById("endpoints").append(section(path, method, about));
    }
  }
});
