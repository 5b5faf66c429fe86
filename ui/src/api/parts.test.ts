import { expect, test, vi } from 'vitest';

vi.mock('./client', () => ({ fetchApi: () => Promise.reject(new Error('not in this test')) }));

const { fetchPart } = await import('./parts');

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
