// Numbers, and how a page and torch write them.

// A number as a page prints it: thousands apart, a true minus sign, no trailing zeros.
export function format(value, digits = 2) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  const rounded = Number(value.toFixed(digits));
  return (Object.is(rounded, -0) ? 0 : rounded)
    .toLocaleString("en-GB", { maximumFractionDigits: digits })
    .replace("-", "−");
}

// Numbers that stand together, all with as many decimals as the one that needs most, at most `digits`; 0 has none.
export function together(values, digits = 2) {
  const near = (v, n) => Math.abs(Number(v.toFixed(n)) - Number(v.toFixed(digits))) < 1e-9;
  let least = 0;
  while (!values.every((v) => near(v, least))) least++;
  return values.map((v) => {
    const text = Number(v.toFixed(digits)) ? v.toFixed(least) : "0";
    return text.replace("-", "−");
  });
}

// The number that a person typed, with a true minus sign or a decimal comma if they like; NaN for any other text.
export function parse(text) {
  const plain = text.trim().replace("−", "-").replace(",", ".");
  return plain === "" ? NaN : Number(plain);
}

// A number with its sign: "+12.3", "−3.2"; zero has none.
export function signed(value, digits = 1) {
  return `${Number(value.toFixed(digits)) > 0 ? "+" : ""}${format(value, digits)}`;
}

// The next term of a sum: "+ 12.3", "− 3.2".
export function added(value, digits) {
  return `${value < 0 ? "−" : "+"} ${format(Math.abs(value), digits)}`;
}

// A factor of a product: a negative number stands in brackets.
export function bracketed(value, digits) {
  return value < 0 ? `(${format(value, digits)})` : format(value, digits);
}

export function percent(share, digits = 1) {
  return `${format(100 * share, digits)}%`;
}

// A count as a page prints it: 589,824 in full, then in millions and billions, 462.4 M and 1.85 G.
export function short(value) {
  if (value < 1e6) return format(value);
  const [unit, name] = value < 1e9 ? [1e6, "M"] : [1e9, "G"];
  return `${format(value / unit, value < 100 * unit ? 2 : 1)} ${name}`;
}

// A count with its noun, in the language of the page: several(2, tr`row`, tr`rows`).
export function several(count, one, many) {
  return `${format(count)} ${count === 1 ? one : many}`;
}

// Rows of numbers from a text: "1 2 / 3 4" is [[1, 2], [3, 4]].
export function numberRows(text) {
  return text.split(" / ").map((row) => row.split(" ").map(Number));
}

// Numbers in nested lists as Python writes them.
export function torchList(values, digits = 6) {
  const text = (v) => (typeof v === "number" ? Number(v.toFixed(digits)) : torchList(v, digits));
  return `[${Array.from(values, text).join(", ")}]`;
}

export function tensor(values, digits) {
  return `torch.tensor(${torchList(values, digits)})`;
}

export function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

export function sum(values, of = (v) => v) {
  return values.reduce((total, v) => total + of(v), 0);
}

export function mean(values) {
  return sum(values) / values.length;
}

// The largest absolute value, at least 1e-12: it is safe to divide by it.
export function largest(values) {
  return values.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-12);
}

// Random numbers in [0, 1), the same ones for the same seed (a linear congruential generator).
export function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 4294967296;
  };
}

// What a trait takes: tests of a value, and what makes one.
export function among(values) {
  return (value) => values.includes(value);
}

export function between(low, high) {
  return (value) => typeof value === "number" && value >= low && value <= high;
}

export function whole(least, most, step = 1) {
  return (value) =>
    Number.isInteger(value) && between(least, most)(value) && (value - least) % step === 0;
}

export const finite = between(-Number.MAX_VALUE, Number.MAX_VALUE);

export function yesOrNo(value) {
  return typeof value === "boolean";
}

// A list of `least` to `most` values that each pass the test.
export function listOf(test, least, most = least) {
  return (values) =>
    Array.isArray(values) && between(least, most)(values.length) && values.every(test);
}

// A row and a column inside height × width.
export function inside(height, width) {
  return (value) =>
    listOf(Number.isInteger, 2)(value) &&
    whole(0, height - 1)(value[0]) &&
    whole(0, width - 1)(value[1]);
}
