/** What the browser keeps for the page. Where it keeps nothing, because a person has forbidden that, the page works without. */

type Place = 'sessionStorage' | 'localStorage';

/** What was kept under this name, null where there is nothing. */
export function kept(place: Place, name: string): string | null {
  try {
    return window[place].getItem(name);
  } catch {
    return null;
  }
}

/** Keep a text under this name; null: nothing any more. */
export function keep(place: Place, name: string, text: string | null): void {
  try {
    if (text === null) window[place].removeItem(name);
    else window[place].setItem(name, text);
  } catch {
    // It is forgotten when the page is loaded again.
  }
}
