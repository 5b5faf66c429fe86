import { expect, test, vi } from 'vitest';

let isThere = true;
vi.mock('./client', () => ({ fetchApi: () => (isThere ? Promise.resolve() : Promise.reject(new Error('away'))) }));

vi.stubGlobal('window', globalThis);
vi.stubGlobal('location', { origin: 'https://podrun.example' });
const { fetchPart, findPart, PartMissing } = await import('./parts');

/** Fails so often, then has the part. */
function loader(failures: number) {
  let calls = 0;
  return () => {
    calls += 1;
    return calls > failures ? Promise.resolve(`after ${calls}`) : Promise.reject(new Error(`failure ${calls}`));
  };
}

test('while the service is away it is tried until the service is back', async () => {
  const waits: number[] = [];
  const wait = (milliseconds: number) => {
    waits.push(milliseconds);
    return Promise.resolve();
  };
  expect(await fetchPart(loader(8), () => Promise.resolve(false), wait)).toBe('after 9');
  expect(waits).toEqual([250, 500, 1000, 2000, 4000, 5000, 5000, 5000]);
});

test('a service that is there and has no such part is not asked for ever', async () => {
  const nothing = () => Promise.resolve();
  await expect(fetchPart(loader(100), () => Promise.resolve(true), nothing)).rejects.toThrow('failure 3');
  expect(await fetchPart(loader(2), () => Promise.resolve(true), nothing)).toBe('after 3');
});

test('findPart: a file that is not there any more is missing only once the service answers', async () => {
  vi.useFakeTimers();
  vi.stubGlobal('fetch', async () => new Response(null, { status: isThere ? 404 : 502 }));
  isThere = false;
  const found = vi.fn();
  const missing = vi.fn();
  const looking = findPart('/assets/x.js').then(found, missing);
  await vi.advanceTimersByTimeAsync(60_000);
  expect([found.mock.calls.length, missing.mock.calls.length]).toEqual([0, 0]);
  isThere = true;
  await vi.advanceTimersByTimeAsync(20_000);
  await looking;
  expect(missing.mock.calls[0]?.[0]).toBeInstanceOf(PartMissing);
  vi.stubGlobal('fetch', async () => new Response('there'));
  await expect(findPart('/assets/x.js')).resolves.toBeUndefined();
  vi.useRealTimers();
});
