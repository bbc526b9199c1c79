/**
 * Text onto the clipboard.
 *
 * Belongs here: the two ways webviews offer. Not here: saying that it worked (`CopyLine.svelte`).
 */

/** False when neither way is allowed here. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelection(text);
  }
}

/** Webviews that refuse the asynchronous way still copy a selection. */
function copySelection(text: string): boolean {
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'sr';
  document.body.append(area);
  area.select();
  try {
    return document.execCommand('copy');
  } catch {
    return false;
  } finally {
    area.remove();
  }
}
