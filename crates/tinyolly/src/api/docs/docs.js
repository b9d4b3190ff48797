// Draws /openapi.json: operations by tag, their parameters, the shape of their answers, and a form to try them.

const MOST_SHOWN = 20000;

/** An element with attributes and children; text is text, never markup. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function resolved(api, schema) {
  const name = schema?.$ref?.split('/').pop();
  return name === undefined ? schema : api.components?.schemas?.[name];
}

/** A schema as an example of what has its shape. */
function shape(api, given, depth = 0) {
  const schema = resolved(api, given) ?? {};
  if (depth > 6) return '…';
  const types = [schema.type ?? []].flat();
  const other = (schema.oneOf ?? schema.allOf ?? []).find((one) => one.type !== 'null');
  if (other !== undefined) return shape(api, other, depth);
  if (types.includes('array')) return [shape(api, schema.items, depth + 1)];
  if (schema.properties !== undefined) {
    const fields = Object.entries(schema.properties);
    return Object.fromEntries(fields.map(([key, value]) => {
      const always = schema.required?.includes(key) ?? false;
      return [always ? key : `${key}?`, shape(api, value, depth + 1)];
    }));
  }
  if (schema.additionalProperties) return { '…': shape(api, schema.additionalProperties, depth + 1) };
  return types.join(' or ') || 'any';
}

function parametersOf(operation) {
  const rows = (operation.parameters ?? []).map((parameter) => {
    const field = element('input', { name: parameter.name, 'aria-label': parameter.name, autocomplete: 'off' });
    field.dataset.in = parameter.in;
    const several = [parameter.schema?.type ?? []].flat().includes('array') ? ' May be repeated; here by commas.' : '';
    const needed = parameter.required ? 'required' : '';
    return element('tr', {},
      element('td', {}, element('code', {}, parameter.name), ' ', element('small', {}, needed)),
      element('td', {}, (parameter.description ?? '') + several),
      element('td', {}, field));
  });
  if (rows.length === 0) return [];
  const titles = ['Parameter', 'Meaning', 'Value'].map((title) => element('th', { scope: 'col' }, title));
  return [element('table', {}, element('thead', {}, element('tr', {}, ...titles)), element('tbody', {}, ...rows))];
}

/** The address that the form's fields make of a path. */
function address(path, operation, form) {
  let filled = path;
  const query = new URLSearchParams();
  for (const field of form.querySelectorAll('input')) {
    const value = field.value.trim();
    const parameter = operation.parameters.find((one) => one.name === field.name);
    if (field.dataset.in === 'path') {
      filled = filled.replace(`{${field.name}}`, encodeURIComponent(value));
    } else if (value !== '' && field.name.endsWith('.KEY')) {
      const at = value.indexOf('=');
      query.append(field.name.replace('KEY', value.slice(0, Math.max(at, 0))), value.slice(at + 1));
    } else if (value !== '') {
      const several = [parameter?.schema?.type ?? []].flat().includes('array');
      for (const one of several ? value.split(',') : [value]) query.append(field.name, one.trim());
    }
  }
  const text = query.toString();
  return text === '' ? filled : `${filled}?${text}`;
}

function tryIt(path, method, operation, tables) {
  const stream = operation.responses?.['200']?.content?.['text/event-stream'] !== undefined;
  if (method !== 'get') return tables;
  const link = element('a', { href: path, target: '_blank', rel: 'noopener' }, path);
  const answer = element('pre', { hidden: '', tabindex: '0', 'aria-live': 'polite' });
  const form = element('form', {}, ...tables, element('p', {}, link));
  if (!stream) form.append(element('button', { type: 'submit' }, 'Try'), answer);
  const update = () => {
    const to = address(path, operation, form);
    link.textContent = to;
    link.setAttribute('href', to);
  };
  form.addEventListener('input', update);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    update();
    answer.hidden = false;
    answer.textContent = '…';
    try {
      const response = await fetch(link.getAttribute('href'));
      const text = await response.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* Not JSON: shown as it came. */ }
      const cut = shown.length > MOST_SHOWN ? `\n… ${shown.length - MOST_SHOWN} characters more` : '';
      answer.textContent = `${response.status} ${response.statusText}\n\n${shown.slice(0, MOST_SHOWN)}${cut}`;
    } catch (error) {
      answer.textContent = `No answer: ${error}`;
    }
  });
  return [form];
}

function draw(api, path, method, operation) {
  const id = `${method}-${path}`;
  const answers = Object.entries(operation.responses ?? {}).filter(([status]) => status.startsWith('2'));
  const shapes = answers.flatMap(([status, response]) =>
    Object.entries(response.content ?? {}).map(([type, content]) =>
      element('div', {}, element('h4', {}, `${status}, ${type}`),
        element('pre', { tabindex: '0' }, JSON.stringify(shape(api, content.schema), null, 2)))));
  const errors = Object.keys(operation.responses ?? {}).filter((status) => !status.startsWith('2'));
  const also = errors.length > 0 ? [element('p', { class: 'words' }, `Errors: ${errors.join(', ')}`)] : [];
  const body = element('div', {},
    element('p', {}, operation.description ?? ''), ...tryIt(path, method, operation, parametersOf(operation)),
    ...shapes, ...also);
  return element('details', { id },
    element('summary', {}, element('span', { class: 'method' }, method.toUpperCase()), element('code', {}, path),
      element('span', { class: 'words' }, operation.summary ?? '')),
    body);
}

function open() {
  const chosen = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (chosen instanceof HTMLDetailsElement) {
    chosen.open = true;
    chosen.scrollIntoView();
  }
}

async function start() {
  const main = document.getElementById('operations');
  const contents = document.getElementById('contents');
  try {
    const response = await fetch('/openapi.json');
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    const api = await response.json();
    const tags = new Map();
    for (const [path, item] of Object.entries(api.paths)) {
      for (const [method, operation] of Object.entries(item)) {
        const tag = operation.tags?.[0] ?? 'other';
        tags.set(tag, [...(tags.get(tag) ?? []), { path, method, operation }]);
      }
    }
    main.replaceChildren(element('p', {}, api.info.description ?? ''));
    for (const [tag, operations] of tags) {
      main.append(element('h2', {}, tag),
        ...operations.map(({ path, method, operation }) => draw(api, path, method, operation)));
      const links = operations.map(({ path, method }) =>
        element('li', {}, element('a', { href: `#${encodeURIComponent(`${method}-${path}`)}` },
          element('span', { class: 'method' }, method.toUpperCase()), path)));
      contents.append(element('h2', {}, tag), element('ul', {}, ...links));
    }
    open();
  } catch (error) {
    main.replaceChildren(element('p', { role: 'alert' }, `The document could not be read: ${error}`));
  }
}

addEventListener('hashchange', open);
start();
