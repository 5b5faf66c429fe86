import { expect, test } from 'vitest';
import { indented, memberText } from './jsonText';

test('indented: like JSON.stringify, but numbers stay as they were written', () => {
  const value = { a: [1, 'x, {"y": [\\"', {}, []], b: { c: null, d: true } };
  expect(indented(JSON.stringify(value), 10_000)).toEqual({ text: JSON.stringify(value, null, 2), isWhole: true });
  expect(indented('{ "n":2.0,\n"big":12345678901234567890 }', 100).text).toBe(
    '{\n  "n": 2.0,\n  "big": 12345678901234567890\n}',
  );
});

test('indented: it ends after so many characters', () => {
  const { text, isWhole } = indented(JSON.stringify(Array.from({ length: 1_000 }, () => 'x')), 500);
  expect(isWhole).toBe(false);
  expect(text.length).toBeLessThanOrEqual(500);
});

test('memberText: as it was written, of the object itself', () => {
  const json =
    '{"name": "document", "in": {"document": 1, "x": [{"document": 2}]}, "document": {"n": 12345678901234567890, "f": 2.0 }, "z": 1}';
  expect(memberText(json, 'document')).toBe('{"n": 12345678901234567890, "f": 2.0 }');
  expect(memberText(json, 'name')).toBe('"document"');
  expect(memberText(json, 'z')).toBe('1');
  expect(memberText(json, 'n')).toBeNull();
});

test('memberText: what stands in strings is not taken for JSON', () => {
  const value = { a: '"document": {', 'b"}': '\\', document: { 'k,}': ['"', '}', 'ü\n'], e: {}, l: [] } };
  expect(memberText(JSON.stringify(value), 'document')).toBe(JSON.stringify(value.document));
  expect(memberText(JSON.stringify(value, null, 2), 'document')).toContain('"k,}"');
});

test.each(['', '[]', 'null', '{}', '["document"]'])('memberText: there is none in %j', (json) => {
  expect(memberText(json, 'document')).toBeNull();
});
