/** Copies text; pages served over plain HTTP from another host have no clipboard API and use a selection. */
export async function copyText(text: string): Promise<boolean> {
  if (navigator.clipboard !== undefined && isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // The browser refused, for example because the page has no focus: a selection may still do.
    }
  }
  const area = document.createElement('textarea');
  area.value = text;
  area.style.position = 'fixed';
  area.style.opacity = '0';
  document.body.append(area);
  area.select();
  try {
    return document.execCommand('copy');
  } finally {
    area.remove();
  }
}
