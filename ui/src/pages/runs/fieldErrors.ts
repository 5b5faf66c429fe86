/** Which of the filter's fields the service refused, and why. */
import { ApiProblem } from '@/api/problems';
import { TEXT_FIELDS, type TextField } from './filter';

/** What is wrong with a field, null where nothing is. */
export function fieldError(error: unknown, field: TextField): string | null {
  if (!(error instanceof ApiProblem)) return null;
  const found = error.errors.find(({ parameter }) => parameter === field);
  return found === undefined ? null : found.detail.replace(/^Value error, /, '');
}

/** Whether all that is wrong is shown beside the fields. */
export function isAboutFields(error: unknown): boolean {
  if (!(error instanceof ApiProblem) || error.errors.length === 0) return false;
  return error.errors.every(({ parameter }) => TEXT_FIELDS.some((field) => field === parameter));
}
