// Renders /openapi.json. Text only ever becomes text nodes, so nothing in the document can become markup.
const METHODS = ["get", "post", "put", "patch", "delete"];

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

// `words` between backticks are code.
const prose = (text) => (text ?? "").split("`").map((part, i) => (i % 2 ? element("code", {}, part) : part));

const nameOf = (schema) => schema.$ref.split("/").at(-1);
const link = (name) => element("a", { href: `#schema-${name}` }, element("code", {}, name));

// A schema in a few words: a link to a named one, or its type.
function words(schema) {
  if (!schema) return "anything";
  if (schema.$ref) return link(nameOf(schema));
  const choices = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (choices) return choices.flatMap((choice, i) => (i ? [schema.allOf ? " and " : " or ", words(choice)] : [words(choice)])).flat();
  const types = [schema.type ?? "object"].flat();
  if (types.includes("array")) return ["list of ", words(schema.items)].flat();
  const format = schema.format && !schema.format.startsWith("int") ? ` (${schema.format})` : "";
  return types.join(" or ") + format;
}

function fields(schema) {
  const parts = schema.allOf ?? [schema];
  const rows = parts.flatMap((part) =>
    part.$ref
      ? [element("tr", {}, element("td", {}, "all of"), element("td", {}, words(part)), element("td", {}, ""))]
      : Object.entries(part.properties ?? {}).map(([name, field]) =>
          element("tr", {}, element("td", {}, element("code", {}, name)), element("td", {}, words(field)), element("td", {}, prose(field.description)))),
  );
  if (schema.enum) rows.push(...schema.enum.map((value) => element("tr", {}, element("td", { colspan: 3 }, element("code", {}, value)))));
  return element("table", {}, rows);
}

function parameters(list) {
  if (!list?.length) return null;
  return element("table", {}, list.map((parameter) =>
    element("tr", {},
      element("td", {}, element("code", {}, parameter.name), element("span", { class: "faint" }, ` ${parameter.in}`)),
      element("td", {}, words(parameter.schema)),
      element("td", {}, prose(parameter.description)))));
}

function answers(responses) {
  return element("table", {}, Object.entries(responses).map(([status, response]) => {
    const [type, content] = Object.entries(response.content ?? {})[0] ?? [];
    return element("tr", {},
      element("td", {}, element("code", {}, status)),
      element("td", {}, response.description),
      element("td", {}, content ? words(content.schema) : "nothing", type && type !== "application/json" ? element("span", { class: "faint" }, ` ${type}`) : null));
  }));
}

function operation(path, method, described) {
  const body = described.requestBody?.content?.["application/json"];
  return element("section", { class: "operation", id: described.operationId },
    element("h3", {}, element("span", { class: `method ${method}` }, method), path),
    element("p", {}, prose(described.summary), described.security ? element("span", { class: "faint" }, " Needs a sign-in.") : null),
    parameters(described.parameters),
    body ? element("p", {}, "Takes ", words(body.schema)) : null,
    answers(described.responses));
}

function render(api) {
  const contents = document.getElementById("contents");
  const page = document.getElementById("reference");
  page.replaceChildren(element("h1", {}, `${api.info.title} API`), ...api.info.description.split("\n\n").map((text) => element("p", {}, prose(text))));
  contents.replaceChildren(element("a", { href: "/" }, "← Almanac"));
  const operations = Object.entries(api.paths).flatMap(([path, item]) => METHODS.filter((method) => item[method]).map((method) => [path, method, item[method]]));
  for (const tag of api.tags) {
    contents.append(element("h2", {}, tag.name));
    page.append(element("h2", {}, tag.name), element("p", { class: "faint" }, tag.description ?? ""));
    for (const [path, method, described] of operations.filter(([, , described]) => described.tags?.includes(tag.name))) {
      contents.append(element("a", { href: `#${described.operationId}` }, element("span", { class: `method ${method}` }, method), path.replace("/api/v1", "")));
      page.append(operation(path, method, described));
    }
  }
  page.append(element("h2", {}, "Shapes"));
  contents.append(element("h2", {}, "Shapes"));
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    contents.append(element("a", { href: `#schema-${name}` }, name));
    page.append(element("section", { class: "operation", id: `schema-${name}` }, element("h3", {}, name), element("p", {}, prose(schema.description)), fields(schema)));
  }
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

try {
  render(await (await fetch("/openapi.json")).json());
} catch (error) {
  document.getElementById("reference").replaceChildren(element("p", {}, `The reference cannot be shown: ${error.message}`));
}
