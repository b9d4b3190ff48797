// Runs before the first paint, so that a remembered theme does not flash. A file of its own because the
// server's policy forbids inline scripts. The key is the one of src/state/theme.svelte.ts.
try {
  const theme = localStorage.getItem('tinyolly.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage is blocked: the system's theme stays.
}
