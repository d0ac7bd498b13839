/** Whether no process has this id any more. */
export function hasEnded(pid: number): boolean {
  try {
    // Signal 0 is not sent, only checked.
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}
