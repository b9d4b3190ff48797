/** One listener for the whole page; the view opened last is asked first. */

export type KeyHandler = (event: KeyboardEvent) => boolean;

const handlers: KeyHandler[] = [];

/** Registers a handler; it returns true for a key that it took. The result takes it off again. */
export function onKeys(handler: KeyHandler): () => void {
  handlers.push(handler);
  return () => {
    const index = handlers.indexOf(handler);
    if (index >= 0) handlers.splice(index, 1);
  };
}

/** Is the key text for a control, which must not be taken from it? */
export function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches('input, textarea, select, [contenteditable]');
}

/** Would Enter or Space press what has the focus? */
export function isPressable(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches('button, a[href], summary, [role="separator"]');
}

export function dispatchKey(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (document.querySelector('dialog[open]')) return;
  if (isTyping(event.target)) {
    if (event.key !== 'Escape') return;
    (event.target as HTMLElement).blur();
    event.preventDefault();
    return;
  }
  for (const handler of [...handlers].reverse()) {
    if (handler(event)) {
      event.preventDefault();
      return;
    }
  }
}

/** Puts the cursor into the search box of the view. */
export function focusSearch(): boolean {
  const box = document.querySelector<HTMLInputElement>('[data-search]');
  box?.focus();
  box?.select();
  return box !== null;
}
