// The few things that every view does to the page.

export const find = (selector, inside = document) => inside.querySelector(selector);
export const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];

/** Set text only when it differs: what has not changed is not touched, so selection and focus stay. */
export function text(element, value) {
  const string = String(value);
  if (element.textContent !== string) element.textContent = string;
}

/** Set or (for null and false) remove an attribute, only when it differs. */
export function attribute(element, name, value) {
  if (value === null || value === false || value === undefined) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, String(value));
  }
}

/** A copy of the first element of a template. */
export function copy(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

/** Make an element with text. */
export function make(tag, className, value = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (value) element.textContent = value;
  return element;
}

/** The value of a colour token now. */
export const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** What this browser remembers of a person's choice; `fallback` when it does not, or may not. */
export function remembered(key, fallback) {
  try {
    return localStorage.getItem(`fairlead-${key}`) ?? fallback;
  } catch {
    return fallback;
  }
}

/** Remember a choice, where storage is allowed. */
export function remember(key, value) {
  try {
    localStorage.setItem(`fairlead-${key}`, value);
  } catch {
    // it lasts as long as the page
  }
}
