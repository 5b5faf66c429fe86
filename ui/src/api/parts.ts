/** Parts of the page that are fetched when they are opened. */
import { fetchApi } from './client';

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 5_000;
/** A service that answers, but not with the part, was upgraded since the page was opened. */
const MOST_REFUSALS = 3;

/** Fetch a part: while the service is away again and again, as everything else is. Throws what `load` throws if it is there and has no such part. */
export async function fetchPart<Part>(
  load: () => Promise<Part>,
  isServiceThere: () => Promise<boolean> = askService,
  wait: (milliseconds: number) => Promise<void> = sleep,
): Promise<Part> {
  let refusals = 0;
  let delay = FIRST_DELAY_MS;
  for (;;) {
    try {
      return await load();
    } catch (error) {
      if (await isServiceThere()) refusals += 1;
      if (refusals >= MOST_REFUSALS) throw error;
    }
    await wait(delay);
    delay = Math.min(2 * delay, LONGEST_DELAY_MS);
  }
}

/** The service is there, and has no such part any more. */
export class PartMissing extends Error {
  override readonly name = 'PartMissing';
}

/** Whether the service has the file of a part that the browser could not load; waits while it is away. Throws PartMissing if it has not. */
export async function findPart(url: string): Promise<void> {
  await fetchPart(async () => {
    const response = await fetch(url);
    if (!response.ok) throw new PartMissing('A part of the page could not be fetched.');
  });
}

/** Asking it tells the banner, too. */
async function askService(): Promise<boolean> {
  try {
    await fetchApi(new URL('/healthz', window.location.origin).href);
    return true;
  } catch {
    return false;
  }
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((done) => window.setTimeout(done, milliseconds));
}
