/** The page's address as values, and how it is changed: without a new entry in the browser's history for each click. */
import { useCallback, useMemo } from 'react';
import { useLocation, useNavigate } from 'react-router';
import { type LineRange, type LogAddress, readAddress, readHash, writeAddress, writeHash } from './logAddress';

export type AddressControl = {
  value: LogAddress;
  range: LineRange | null;
  /** Another attempt or container has other lines: it leaves those that are named. */
  change: (change: Partial<LogAddress>) => void;
  select: (range: LineRange | null) => void;
};

export function useLogAddress(): AddressControl {
  const { search, hash } = useLocation();
  const navigate = useNavigate();
  const value = useMemo(() => readAddress(new URLSearchParams(search)), [search]);
  const range = useMemo(() => readHash(hash), [hash]);
  const change = useCallback(
    (part: Partial<LogAddress>) => {
      const isOther = 'attempt' in part || 'container' in part;
      navigate({ search: writeAddress({ ...value, ...part }), hash: isOther ? '' : hash }, { replace: !isOther });
    },
    [navigate, value, hash],
  );
  const select = useCallback(
    (next: LineRange | null) => navigate({ search, hash: next === null ? '' : writeHash(next) }, { replace: true }),
    [navigate, search],
  );
  return { value, range, change, select };
}
