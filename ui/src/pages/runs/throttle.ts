/** Work that is asked for more often than it should be done. */

/** What comes next waits so many times as long as the last one took, for what is slow is so under load; up to a limit. */
const PATIENCE = 4;
const LONGEST_PAUSE_MS = 5_000;

/** Does `work` soon after it is asked for: one at a time, with pauses, and once more if it was asked for meanwhile. */
export class Throttle {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isWorking = false;
  private isAsked = false;
  private isStopped = false;
  private earliest = 0;

  constructor(
    private readonly work: () => Promise<void>,
    private readonly pauseMs: number,
  ) {}

  ask(): void {
    this.isAsked = true;
    if (this.isWorking || this.isStopped || this.timer !== undefined) return;
    this.timer = setTimeout(() => void this.go(), Math.max(0, this.earliest - Date.now()));
  }

  stop(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
  }

  private async go(): Promise<void> {
    this.timer = undefined;
    this.isAsked = false;
    this.isWorking = true;
    const start = Date.now();
    try {
      await this.work();
    } finally {
      const end = Date.now();
      this.earliest = end + Math.max(this.pauseMs, Math.min(PATIENCE * (end - start), LONGEST_PAUSE_MS));
      this.isWorking = false;
      if (this.isAsked) this.ask();
    }
  }
}
