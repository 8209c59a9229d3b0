// The texts of a page in another language than English: there `cnWords` holds its dictionary, elsewhere nothing is found.

// A text of the code, tr`${read} of ${all} read`: it is looked up as "{0} of {1} read".
export function tr(parts, ...values) {
  const english = parts.reduce((text, part, n) => `${text}{${n - 1}}${part}`);
  return inWords(english).replace(/\{(\d+)\}/g, (_, n) => values[n]);
}

// A text that comes as data: a name, a caption.
export function inWords(text) {
  return globalThis.cnWords?.[text] ?? text;
}
