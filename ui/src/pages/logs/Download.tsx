import { useEffect, useRef, useState } from 'react';
import { fetchApi } from '@/api/client';
import { sentenceOf } from '@/api/problems';
import { useSession } from '@/api/session';
import { bytesText } from '@/model/times';

/** A larger one is better written to the disk by a command: with a token the page has to hold all of it. */
const LARGE_BYTES = 200 * 1024 * 1024;

type Props = { path: string; file: string; bytes: number | null; curl: string };

/** The log as a file: its bytes as they were. */
export function Download({ path, file, bytes, curl }: Props) {
  const { token } = useSession();
  const size = bytes === null ? '' : ` (${bytesText(bytes)})`;
  if (token === null)
    return (
      <a className="button" href={path} download={file}>
        Download{size}
      </a>
    );
  return <DownloadWithToken path={path} file={file} size={size} curl={(bytes ?? 0) > LARGE_BYTES ? curl : null} />;
}

/** A link can't carry the token: what is downloaded is fetched, and then saved. */
function DownloadWithToken({ path, file, size, curl }: { path: string; file: string; size: string; curl: string | null }) {
  const [said, setSaid] = useState('');
  const [isBusy, setIsBusy] = useState(false);
  const leaving = useRef(new AbortController());
  useEffect(() => {
    leaving.current = new AbortController();
    return () => leaving.current.abort();
  }, []);
  const download = async () => {
    setIsBusy(true);
    setSaid('Loading the log…');
    try {
      const response = await fetchApi(path, { headers: { Accept: 'text/plain' }, signal: leaving.current.signal });
      save(await response.blob(), file);
      setSaid('');
    } catch (error) {
      if (leaving.current.signal.aborted) return;
      setSaid(sentenceOf(error));
    }
    setIsBusy(false);
  };
  return (
    <>
      <button type="button" disabled={isBusy} onClick={download}>
        Download{size}
      </button>
      <span role="status">{said}</span>
      {curl !== null && (
        <span>
          It is large; this writes it to the disk:{' '}
          <code>
            {curl} -o {file}
          </code>
        </span>
      )}
    </>
  );
}

function save(blob: Blob, file: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement('a');
  link.href = url;
  link.download = file;
  link.click();
  // The browser reads it after the click.
  window.setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
