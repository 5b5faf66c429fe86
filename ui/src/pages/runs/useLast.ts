import { useState } from 'react';

/** The value, or while it is null the last one that was not: what is read anew does not vanish meanwhile. */
export function useLast<T>(value: T | null): T | null {
  const [last, setLast] = useState(value);
  if (value !== null && value !== last) setLast(value);
  return value ?? last;
}
