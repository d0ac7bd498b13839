import { duration } from './format.js';

/** @typedef {{ readonly unit: string, readonly limit: number, readonly windowMs: number, readonly mode: string }} Window */

/**
 * What `/api/policy` tells of the tiers in force, as a document again: to be changed and tried out. Comments, and how it was
 * written, are not in it.
 *
 * @param {any} policy
 */
export function policyText({ tiers, capacity }) {
  const list = tiers.map(tierText).join('');
  if (capacity.length === 0) return list;
  const models = capacity.map(
    (/** @type {any} */ { model, windows }) => `  ${quoted(model)}: {${limitsText(windows)}}\n`,
  );
  return `tiers:\n${list.replace(/^(?=.)/gm, '  ')}capacity:\n${models.join('')}`;
}

/** @param {any} tier */
function tierText({ name, level, groups, windows, models, shared, concurrency }) {
  const named = groups.filter(
    (/** @type {string} */ group) => !/^system:serviceaccounts:.*-tier-/.test(group),
  );
  const parts = [
    limitsText(windows),
    concurrency === undefined ? '' : `concurrency: ${concurrency.limit}`,
    models.length === 0 ? '' : `models: {${models.map(modelText).join(', ')}}`,
    shared === undefined ? '' : `shared: {by: ${quoted(shared.by)}, ${limitsText(shared.windows)}}`,
  ].filter((part) => part !== '');
  const limits = parts.length === 0 ? 'unlimited' : `{${parts.join(', ')}}`;
  return `- name: ${name}\n  level: ${level}\n  groups: [${named.map(quoted).join(', ')}]\n  limits: ${limits}\n`;
}

/** @param {any} limits */
function modelText({ model, weight, windows }) {
  const parts = [limitsText(windows), weight === 1 ? '' : `weight: ${weight}`].filter((part) => part !== '');
  return `${quoted(model)}: {${parts.join(', ')}}`;
}

/** @param {readonly Window[]} windows */
function limitsText(windows) {
  const units = [...new Set(windows.map(({ unit }) => unit))];
  return units
    .map(
      (unit) =>
        `${unit}: [${windows
          .filter((window) => window.unit === unit)
          .map(windowText)
          .join(', ')}]`,
    )
    .join(', ');
}

/** @param {Window} window */
function windowText({ limit, windowMs, mode }) {
  return `{limit: ${limit}, window: ${duration(windowMs).replaceAll(' ', '')}${mode === 'shadow' ? ', mode: shadow' : ''}}`;
}

/** @param {string} text */
function quoted(text) {
  return /^[a-z][-a-z0-9]*$/.test(text) ? text : JSON.stringify(text);
}
