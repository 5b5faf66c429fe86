import { useState } from 'react';

const SHOWN_MS = 2_000;

/** Puts the text on the clipboard, and says so. Where the browser does not let it, it says that. */
export function CopyButton({ text, label }: { text: string; label: string }) {
  const [said, setSaid] = useState('');
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid('Copied');
    } catch {
      setSaid('Not allowed: select and copy it');
    }
    window.setTimeout(() => setSaid(''), SHOWN_MS);
  };
  return (
    <>
      <button type="button" onClick={copy} aria-label={label}>
        {said || 'Copy'}
      </button>
      <span className="visually-hidden" role="status">
        {said}
      </span>
    </>
  );
}
