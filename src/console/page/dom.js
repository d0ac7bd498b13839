/** Elements from plain calls, text only: nothing here ever parses HTML, so nobody's name can become any. */

const svgNamespace = 'http://www.w3.org/2000/svg';

/** @typedef {Node | string | number | false | null | undefined | readonly Child[]} Child */
/** @typedef {Readonly<Record<string, string | number | boolean | undefined>>} Attributes */

/**
 * @param {string} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  append(element, children);
  return element;
}

/**
 * @param {string} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(svgNamespace, tag);
  setAttributes(element, attributes);
  append(element, children);
  return element;
}

/**
 * @param {Element} element
 * @param {Attributes} attributes
 */
function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? '' : String(value));
  }
}

/**
 * @param {Element} parent
 * @param {readonly Child[]} children
 */
function append(parent, children) {
  for (const child of children) {
    if (child === undefined || child === null || child === false) continue;
    if (Array.isArray(child)) append(parent, child);
    else parent.append(/** @type {Node | string} */ (typeof child === 'number' ? String(child) : child));
  }
}

/**
 * Makes what is shown like what is wanted, and leaves alone what is so already: what has the focus or a selection
 * keeps it, and a screen reader is not told again of what did not change.
 *
 * @param {Element} shown
 * @param {readonly Child[]} wanted
 */
export function show(shown, ...wanted) {
  const holder = document.createElement('div');
  append(holder, wanted);
  morphChildren(shown, holder);
}

/**
 * @param {Element} shown
 * @param {Element} wanted
 */
function morphChildren(shown, wanted) {
  const news = [...wanted.childNodes];
  for (const [at, node] of news.entries()) {
    const old = shown.childNodes[at];
    if (old === undefined) shown.append(node);
    else if (!isAlike(old, node)) shown.replaceChild(node, old);
    else if (old instanceof Element && node instanceof Element) morph(old, node);
    else if (old.nodeValue !== node.nodeValue) old.nodeValue = node.nodeValue;
  }
  while (shown.childNodes.length > news.length) shown.lastChild?.remove();
}

/**
 * @param {Node} a
 * @param {Node} b
 */
function isAlike(a, b) {
  if (a.nodeType !== b.nodeType || a.nodeName !== b.nodeName) return false;
  if (!(a instanceof Element) || !(b instanceof Element)) return true;
  return a.getAttribute('data-key') === b.getAttribute('data-key');
}

/**
 * @param {Element} shown
 * @param {Element} wanted
 */
function morph(shown, wanted) {
  for (const name of shown.getAttributeNames()) if (!wanted.hasAttribute(name)) shown.removeAttribute(name);
  for (const { name, value } of wanted.attributes) {
    if (shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  }
  morphChildren(shown, wanted);
}

/**
 * @template {Element} E
 * @param {string} id
 * @param {new () => E} type
 * @returns {E}
 */
export function byId(id, type) {
  const element = document.getElementById(id);
  if (element instanceof type) return element;
  throw new Error(`the page has no ${type.name} ${id}`);
}
