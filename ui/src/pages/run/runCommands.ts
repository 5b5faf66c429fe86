/** The commands that give on a terminal what the page of a run shows. */

import type { Run } from '@/api/schema';
import { currentToken } from '@/api/session';
import type { Command } from '@/components/Commands';
import { curlCommand, podrunCommand } from '@/model/commands';
import { apiRunPath } from '@/model/paths';
import { isOver } from '@/model/phases';

/** For the view that is open, for the task that is chosen, and what could be done next. */
export function runCommands(run: Run, view: string, task: string | null): readonly Command[] {
  const { origin } = window.location;
  const path = apiRunPath(run.id);
  const curl = (below: string) => curlCommand(origin, { path: path + below }, currentToken() !== null);
  const podrun = (...words: string[]) => podrunCommand(origin, ...words);
  const commands: Command[] = [{ name: 'podrun get', text: podrun('get', run.id) }];
  if (view === 'events')
    commands.push({ name: 'podrun events', text: podrun('events', run.id, ...(run.is_finished ? [] : ['-f'])) });
  commands.push({ name: 'curl', text: curl(belowOf(view)) });
  if (task !== null) {
    commands.push({ name: 'podrun logs of the task', text: podrun('logs', run.id, task) });
    commands.push({ name: 'curl of the task', text: curl(`/tasks/${encodeURIComponent(task)}`) });
  }
  if (!isOver(run.phase)) commands.push({ name: 'podrun cancel', text: podrun('cancel', run.id) });
  if (run.is_finished && run.phase !== 'Succeeded') {
    commands.push({ name: 'podrun retry', text: podrun('retry', run.id, ...(task === null ? [] : [task])) });
  }
  return commands;
}

function belowOf(view: string): string {
  if (view === 'events') return '/events?limit=1000';
  if (view === 'document') return '/workflow';
  return view === 'params' ? '' : '?include=tasks';
}
