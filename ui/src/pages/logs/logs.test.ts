import { describe, expect, it, vi } from 'vitest';
import { ApiProblem } from '@/api/problems';
import { shownText } from './lineText';
import { missingIn, rangeText, readAddress, readHash, readLines, writeAddress, writeHash } from './logAddress';
import { type LogEntry, readNdjson } from './logLines';
import { ROW_PX, Rows, segmentLines } from './logRows';
import { type FetchHits, LogSearch, MOST_HITS, marksIn, neighbour } from './logSearch';

describe('the address', () => {
  it('comes back as it was written', () => {
    const address = { attempt: 2, container: 'side', isWrapped: true, hasTimes: true, search: 'a b&c' };
    expect(readAddress(new URLSearchParams(writeAddress(address)))).toEqual(address);
  });
  it('leaves out what is the default', () => {
    expect(writeAddress(readAddress(new URLSearchParams('attempt=x&container=&wrap=0')))).toBe('');
  });
  it.each([
    ['#L120', { first: 119, last: 119 }],
    ['#L120-L130', { first: 119, last: 129 }],
    ['#L130-120', { first: 119, last: 129 }],
    ['#L0', null],
    ['#content', null],
    ['', null],
  ])('names lines by %j', (hash, range) => expect(readHash(hash)).toEqual(range));
  it.each([
    ['120', '#L120'],
    ['1,000 - 2,000', '#L1000-L2000'],
    ['L7', '#L7'],
  ])('takes %j from a person', (text, hash) => {
    const range = readLines(text);
    expect(range && writeHash(range)).toBe(hash);
  });
  it('does not take words', () => expect(readLines('end')).toBeNull());
  it('is told from 1', () => expect(rangeText({ first: 999, last: 1_000 })).toBe('lines 1,000 to 1,001'));
});

describe('rows', () => {
  const gaps = [3, 3, 10, 20].map((before, at) => ({ before, reason: String(at), from: null, to: null }));
  it.each([
    [0, 20, true],
    [0, 10, false],
    [3, 11, false],
  ])('from %i to %i are each line once, and gaps before theirs', (first, end, isLast) => {
    const rows = new Rows(first, end, gaps, isLast);
    const lines: number[] = [];
    for (let row = 0; row < rows.count; row += 1) {
      const { line, gap } = rows.at(row);
      if (gap !== null) expect(gap.before).toBe(lines.length + first);
      else {
        expect(rows.rowOf(line)).toBe(row);
        lines.push(line);
      }
    }
    expect(lines).toEqual(Array.from({ length: end - first }, (_, at) => first + at));
  });
  it('fit into an element of any browser', () => {
    expect(segmentLines(false, 1)).toBe(1_000_000);
    expect(segmentLines(false, 2)).toBe(1_000_000);
    for (const ratio of [1, 1.5, 2, 3, 4, 5]) expect(segmentLines(false, ratio) * ROW_PX * ratio).toBeLessThan(33_554_428);
  });
});

describe('a search', () => {
  const item = (line: number) => ({ cursor: '', line, time: '', task: '', attempt: 1, container: 'main', text: 'hit' });
  const entry = (line: number, text: string): LogEntry => ({ line, time: '', text, length: text.length, isPartial: false });
  const finding =
    (...lines: number[]): FetchHits =>
    async (_text, from, limit, onItem) => {
      for (const line of lines.filter((each) => each >= from).slice(0, limit)) onItem(item(line));
    };

  it('has what is stored and what comes meanwhile, each line once and in order', async () => {
    const search = new LogSearch('hit', finding(1, 5, 9), () => undefined);
    search.look(entry(9, 'a hit'));
    search.look(entry(12, 'Hit'));
    await search.start();
    search.look(entry(20, 'hit'));
    search.look(entry(20, 'hit, and more of it'));
    expect(search.hits).toEqual([1, 5, 9, 20]);
    expect([search.isDone, search.isCut, search.isHit(9), search.isHit(12)]).toEqual([true, false, true, false]);
  });

  it('ends at its limit with the first hits', async () => {
    const lines = Array.from({ length: MOST_HITS + 5 }, (_, at) => at);
    const search = new LogSearch('hit', finding(...lines), () => undefined);
    search.look(entry(1_000_000, 'hit'));
    await search.start();
    expect([search.hits.length, search.isCut, search.hits.at(-1)]).toEqual([MOST_HITS, true, MOST_HITS - 1]);
  });

  it('goes on where it was cut off', async () => {
    vi.useFakeTimers();
    const asked: number[] = [];
    const search = new LogSearch(
      'hit',
      async (_text, from, _limit, onItem) => {
        asked.push(from);
        onItem(item(asked.length * 4));
        if (asked.length === 1) throw new TypeError('network error');
      },
      () => undefined,
    );
    await search.start();
    expect(search.isDone).toBe(false);
    await vi.advanceTimersByTimeAsync(2_000);
    vi.useRealTimers();
    expect([asked, search.hits, search.isDone]).toEqual([[0, 4], [4, 8], true]);
  });

  it('says what the service refuses', async () => {
    const refuse: FetchHits = () => Promise.reject(new ApiProblem(422, { detail: 'too long' }));
    const search = new LogSearch('hit', refuse, () => undefined);
    await search.start();
    expect(String(search.problem)).toContain('too long');
  });

  it('goes round', () => {
    const hits = [3, 7, 9];
    expect([neighbour(hits, 7, 1), neighbour(hits, 9, 1), neighbour(hits, 3, -1), neighbour(hits, 8, -1)]).toEqual([
      9, 3, 9, 7,
    ]);
    expect(neighbour([], 7, 1)).toBeNull();
  });

  it('marks each place in a line', () => {
    expect(marksIn('aXbXX', 'X', false).map(({ start }) => start)).toEqual([1, 3, 4]);
  });
});

describe('a long line', () => {
  const entry = (text: string): LogEntry => ({ line: 0, time: '', text, length: text.length, isPartial: false });
  it('is cut, and says so', () => {
    expect(shownText(entry('abc'), 3)).toEqual({ text: 'abc', cut: null, hasMore: false });
    const shown = shownText(entry('x'.repeat(3_000)), 2_000);
    expect([shown.text.length, shown.hasMore, shown.cut]).toEqual([2_000, true, '… the first 2.0 KiB of about 2.9 KiB']);
  });
  it('that overwrites itself shows its end', () => {
    const text = Array.from({ length: 500 }, (_, percent) => `step ${percent}`).join('\r');
    expect(shownText(entry(text), 100).text.endsWith('step 499')).toBe(true);
  });
});

it('reads NDJSON that is cut anywhere', async () => {
  const bytes = new TextEncoder().encode('{"text":"é😀"}\n{"text":"b"}\n');
  for (let size = 1; size < 8; size += 1) {
    const found: unknown[] = [];
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
        controller.close();
      },
    });
    await readNdjson(new Response(body), (item) => found.push(item));
    expect(found).toEqual([{ text: 'é😀' }, { text: 'b' }]);
  }
});

it('missingIn: an attempt or a container that the task has not is named', () => {
  const task = { attempts: [{ attempt: 1 }, { attempt: 2 }], containers: ['prepare', 'main'] };
  expect(missingIn(task, { attempt: null, container: 'main' })).toBeNull();
  expect(missingIn(task, { attempt: 2, container: 'prepare' })).toBeNull();
  expect(missingIn(task, { attempt: 99, container: 'main' })).toBe('This task has no attempt 99.');
  expect(missingIn(task, { attempt: null, container: 'zz' })).toBe('This task has no container zz.');
  expect(missingIn({ ...task, containers: [] }, { attempt: null, container: 'main' })).toBeNull();
});
